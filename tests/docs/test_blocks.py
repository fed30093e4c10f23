"""Every block of code in README and docs is run, in the order of the page, in a folder with the files that the page assumes.

The fixtures `given` and `small` make these files and replace data, networks and settings by small ones. A block that
cannot be run has a hidden comment with the reason, `<!-- not run: needs the network -->`. Its commands are still parsed.
"""

import argparse
import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from tests import tiny
from tests.layouts import python
from tests.pages import PAGES, REPOSITORY, Block, blocks_of, commands, prose_of, text_of
from torchreid_rgbir import cli, config, host
from torchreid_rgbir.data import SYSUMM01
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.write import synthesize

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
NOT_RUN = [block for block in BLOCKS if block.not_run]

# The files that a page assumes. The method of `Given` with that name makes them.
GIVEN = {
    "README.md": ["reid_data", "photos", "features"],
    "docs/guide.md": [],  # renders its own photos
    "docs/own_data.md": ["mycam"],
    "docs/protocols.md": ["reid_data", "regdb", "features"],
    "docs/torchreid.md": ["photos", "images"],
    "docs/training.md": ["reid_data", "regdb"],
    "docs/extending.md": ["photos", "mycam"],
}
# Shortens commands: words of the page -> words that are run.
INSTEAD = {
    "--seeds 1 2 3": "--seeds 1",
    "--ids 30": "--ids 15",
    "video --out": "video --ids 3 --images 4 --out",
    "splits": "splits --splits 2",
    "my_data": "photos",
}
# The same for Python: text of the page -> text that is run.
INSTEAD_IN_PYTHON = {
    "docs/torchreid.md": {
        "height=96": "height=64",
        "width=48": "width=32",
        "batch_size_train=32": "batch_size_train=16, num_instances=2, workers=0",
        "max_epoch=10, eval_freq=5": "max_epoch=1",
        "image_size=(96, 48)": "image_size=(64, 32)",
    }
}
LANGUAGES = {"sh", "python", "text", "json", "yaml", "bibtex"}


@pytest.mark.parametrize("page", PAGES)
def test_code_is_in_blocks_that_name_their_language(page):
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block.place}: write sh, python or text after the fence"
        if block.language == "text":
            assert not re.search(r"^(torchreid-rgbir|python|pip|make) ", block.text, re.M), (
                f"{block.place}: commands are sh"
            )
        if block.file:  # a command of the page runs the file
            assert any(block.file in b.text for b in blocks_of(page) if b.language == "sh" and not b.not_run), (
                block.place
            )
    for number, line in prose_of(page):
        assert not re.match(r"(    |\t)\$? ?(torchreid-rgbir|torchrun|python|pip|make|git|import|from) ", line), (
            f"{page}, line {number}"
        )


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.place)
def test_a_block_that_is_not_run_parses(block: Block):
    for named in re.findall(r"(?:tests/|\.ci/)[\w/.]+\w", block.not_run):
        assert (REPOSITORY / named).exists(), f"{block.place}: {named}"
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return
    for words, _ in commands(block.text):
        program, *flags = (word for word in words if not re.match(r"[A-Z_]+=", word))
        if "tools/main.py" in words:
            flags = ["train", *words[words.index("tools/main.py") + 1 :]]
        elif program == "make":
            assert re.search(rf"^{flags[0]}:", (REPOSITORY / "Makefile").read_text(), re.M), (
                f"{block.place}: {flags[0]}"
            )
            continue
        elif not program.endswith("torchreid-rgbir"):
            assert program in ("pip", "git", "python3", ".venv/bin/python", ".venv/bin/pip"), (
                f"{block.place}: {program}"
            )
            continue
        name, *flags = flags
        parser = argparse.ArgumentParser()
        cli.describe(parser, importlib.import_module(f"torchreid_rgbir.commands.{name}"))
        args = parser.parse_args(flags)
        if getattr(args, "config_file", "") and not args.config_file.startswith("log/"):  # written by a run
            config.override(config.load(args.config_file), args.opts)


def test_every_command_of_the_program_is_shown():
    shown = {name for page in PAGES for name in re.findall(r"torchreid-rgbir (\w+)", text_of(page))}
    assert shown >= set(cli.COMMANDS)


class Given:
    """Makes the files that pages assume, in the current folder."""

    def __init__(self, sysu_root: Path, folder: Path):
        self.sysu_root = sysu_root
        self.set = folder
        synthesize("folder", folder, num_ids=20, images_per_camera=1, size=(16, 32), workers=1)

    def reid_data(self):
        Path("reid-data").mkdir()
        Path("reid-data/SYSU-MM01").symlink_to(self.sysu_root)

    def regdb(self):
        synthesize("regdb", "reid-data/RegDB", num_ids=10, images_per_camera=2, size=(16, 32), workers=1)

    def photos(self):
        Path("photos").mkdir()
        for name in ("train", "test"):
            Path("photos", name).symlink_to(self.set / name)
        Path("photos/rgb").symlink_to(self.set / "test/rgb")
        Path("night.jpg").symlink_to(next((self.set / "test/ir").rglob("*.jpg")))

    def images(self):
        for name in ("rgb", "ir"):
            Path(name).mkdir()
            Path(name, "0001.jpg").symlink_to(next((self.set / "test" / name).rglob("*.jpg")))

    def mycam(self):
        for number, path in enumerate(sorted(self.set.glob("*/*/*/*.jpg"))):
            camera, identity = path.name[1 : path.name.index("_")], path.parent.name
            day = path.parts[-3] == "rgb"
            name = (
                f"day/P{identity}-2026{number:04d}T0815-gate{camera}.jpg"
                if day
                else f"night_ir/P{identity}_2026{number:04d}T2140_gate{camera}.png"
            )
            Path("mycam", name).parent.mkdir(parents=True, exist_ok=True)
            Path("mycam", name).symlink_to(path)

    def features(self):
        data = SYSUMM01(str(self.sysu_root), verbose=False)
        _, pids, camids, _, modalities, numbers, *_ = map(np.array, zip(*data.query, *data.gallery, strict=True))
        features = np.random.default_rng(0).standard_normal((len(pids), 8))
        np.savez(
            "features.npz", features=features, pids=pids, camids=camids, modalities=modalities, image_numbers=numbers
        )
        Path("rand_perm_cam.mat").symlink_to(data.permutations)


@pytest.fixture(scope="module")
def given(sysu_root, tmp_path_factory):
    return Given(sysu_root, tmp_path_factory.mktemp("given") / "set")


class Small(nn.Module):
    """Replaces torchreid's own models."""

    def __init__(self, num_classes, loss="softmax", pretrained=True, use_gpu=True):
        super().__init__()
        self.loss = loss
        self.layer, self.classifier = nn.Linear(3, 8), nn.Linear(8, num_classes)

    def forward(self, images):
        features = self.layer(images.mean(dim=(2, 3)))
        if not self.training:
            return features
        return self.classifier(features) if self.loss == "softmax" else (self.classifier(features), features)


@pytest.fixture
def small(monkeypatch):
    """Makes every run take seconds: settings of tests/tiny.py under the page's own, small networks, images of noise."""
    load = config.load
    settings = [*tiny.SETTINGS, "train.max_epoch", "1", "sampler.batches_per_epoch", "2", "data.cache", "none"]
    monkeypatch.setattr(config, "load", lambda file="": config.override(load(file), settings))
    for name in ("dual_resnet18", "dual_resnet50"):
        monkeypatch.setitem(MODELS, name, tiny.tiny_resnet)
    # The loader of an exported folder builds torchvision's network of that name, which is larger.
    monkeypatch.setattr("torchreid_rgbir.export.standalone.knows", lambda name: False)
    for name in ("resnet50", "osnet_x1_0", "osnet_x0_25"):
        monkeypatch.setitem(host.models.__dict__["__model_factory"], name, Small)

    def noise(seed, pid, camera, number, size):
        return np.random.default_rng([seed, pid, number]).integers(0, 256, (8, 4, 3), dtype=np.uint8)

    def write(layout, out, ids, images, seed, workers, preset):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PRESETS, preset, PRESETS[preset]._replace(render=noise))
            return synthesize(layout, out, min(ids, 150), min(images, 2), seed, workers=1, preset=preset)

    monkeypatch.setattr("torchreid_rgbir.synthetic.write.synthesize", write)


@pytest.mark.parametrize(
    "page", sorted({block.page for block in BLOCKS if not block.not_run and block.language in ("sh", "python")})
)
def test_the_blocks_of_a_page_run_in_their_order(page, given, small, own_parts, tmp_path, monkeypatch):
    if page == "docs/guide.md":
        pytest.importorskip("lancedb")
        pytest.importorskip("av")
        pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    for name in GIVEN.get(page, ["reid_data", "photos"]):
        getattr(given, name)()
    blocks = [block for block in blocks_of(page) if not block.not_run]
    programs = [block for block in blocks if block.language == "python" and not block.file]
    for block in blocks:
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            for words, text in commands(block.text):
                run_command(words, text, block.place)
        elif block is programs[-1]:  # the Python blocks of a page are one program
            run_programs(page, programs)


def run_command(words: list[str], text: str, place: str) -> None:
    """Runs one command of a page in this process."""
    program, *rest = words
    if program == "torchreid-rgbir":
        line = shlex.join(rest)
        for old, new in INSTEAD.items():
            line = re.sub(rf"(?<!\S){old}(?!\S)", new, line)
        flags = shlex.split(line)
        try:
            status = cli.main(flags)
        except SystemExit as stop:
            status = stop.code
        assert status == 0, f"{place}: {line}"
    elif program == "python":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", rest)
            runpy.run_path(rest[0], run_name="__main__")
    elif words[:2] == ["cat", ">"]:
        Path(words[2]).write_text(text, encoding="utf-8")
    else:
        pytest.fail(
            f"{place}: the test does not know how to run {program}: say `<!-- not run: WHY -->` in front of the block"
        )


def run_programs(page: str, programs: list[Block]) -> None:
    """Runs a page's Python, as one program."""
    text = "\n".join(block.text for block in programs)
    for old, new in INSTEAD_IN_PYTHON.get(page, {}).items():
        assert old in text, f"{page} no longer says {old!r}"
        text = text.replace(old, new)
    if "torchreid_rgbir.install(" in text:  # in a separate process, because it changes torchreid
        result = python(["-c", text], Path.cwd())
        assert result.returncode == 0, f"{programs[0].place}: {result.stderr}"
    else:
        exec(compile(text, programs[0].place, "exec"), {"__name__": "__main__"})
