"""The example in every command's --help is run unchanged, with tiny networks and short schedules."""

import argparse
import importlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from torchreid_rgbir import cli, config, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.data import SYSUMM01
from torchreid_rgbir.metrics import TestFeatures, save_features
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs import compare as compare_module
from torchreid_rgbir.runs import ingredients
from torchreid_rgbir.runs import quickstart as quickstart_module
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.video import synthesize_video
from torchreid_rgbir.synthetic.write import synthesize

SHORT = [*tiny.SETTINGS, "model.pretrained", "False", "train.max_epoch", "1", "loss.pef.weights", "random"]


def example(name, *more):
    """Runs the example of a command, with `more` words appended."""
    program, command, *words = shlex.split(importlib.import_module(f"torchreid_rgbir.commands.{name}").EXAMPLE)
    assert (program, command) == ("torchreid-rgbir", name)
    return cli.main([name, *words, *more])


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """A folder with every file that the examples name; the tests run in it."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("dual_resnet18", "dual_resnet50"):
            patch.setitem(MODELS, name, tiny.tiny_resnet)
            patch.setitem(host._private(host.models, "__model_factory"), name, tiny.tiny_resnet)
        patch.chdir(folder)
        for layout, name in (("sysu_mm01", "SYSU-MM01"), ("regdb", "RegDB")):
            synthesize(layout, folder / "reid-data" / name, 20, 2, size=(32, 64), workers=1)
        (folder / "SYSU-MM01").symlink_to("reid-data/SYSU-MM01")
        synthesize("folder", folder / "photos-set", 100, 2, size=(32, 64), workers=1)
        (folder / "photos").symlink_to("photos-set/test")
        (folder / "labeled").symlink_to("photos-set/train")
        shutil.copy(next((folder / "photos" / "ir").rglob("*.jpg")), "night.jpg")
        assert example("train", *SHORT) == 0
        shutil.copy("log/mso/model/model-best.pth.tar", "model-best.pth.tar")
        yield folder


def test_train_writes_results(there):
    assert (there / "log/mso/results.json").is_file()


def test_test(there):
    assert example("test") == 0
    assert (there / "log/mso/test-results.json").is_file()


def test_run(there, monkeypatch, capsys):
    """tests/integration/test_torchreid_patch.py runs torchreid's script itself."""
    (there / "scripts").mkdir()
    (there / "scripts/main.py").write_text("import sys\nprint(sys.argv)\n")
    settings = []
    monkeypatch.setattr(
        "torchreid_rgbir.integration.torchreid_patch.install", lambda words, file: settings.extend(words)
    )
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert example("run") == 0
    assert config.override(config.defaults(), settings).loss.pef.entry == "conv2"
    assert capsys.readouterr().out.startswith("['scripts/main.py', '-s', 'sysu_mm01', '--root', 'reid-data', ")


def test_evaluate(there):
    dataset = SYSUMM01(root="reid-data", verbose=False)
    items = [*dataset.query, *dataset.gallery]
    columns = [np.array([getattr(item, name) for item in items]) for name in ("pid", "camid", "modality", "number")]
    noise = np.random.default_rng(0).standard_normal((len(items), 8)).astype(np.float32)
    save_features(there / "features.npz", TestFeatures(noise, *columns))
    assert example("evaluate") == 0
    assert (there / "results.json").is_file()


def test_published(there, capsys):
    """Uses SYSU-MM01's counts, which differ from the synthetic set's."""
    results = json.loads((there / "log/mso/results.json").read_text())
    results["settings"] = [
        setting | {"num_queries": 3803, "num_valid_queries": 3803, "num_gallery": 301, "shots": 1, "search": "all"}
        for setting in results["settings"][:1]
    ]
    results["settings"][0]["mean"] |= {"rank1": 0.475, "mAP": 0.4765, "mINP": 0.353}
    (there / "log/agw_sysu").mkdir(parents=True, exist_ok=True)
    (there / "log/agw_sysu/results.json").write_text(json.dumps(results))
    assert example("published") == 0
    assert "within AGW's" in capsys.readouterr().out


def test_extract(there):
    assert example("extract") == 0
    assert (there / "features.npz").is_file()


def test_identify(there, capsys):
    assert example("identify") == 0
    assert capsys.readouterr().out.startswith("night.jpg\n   1  ")


def test_match(there, capsys):
    pytest.importorskip("av")
    synthesize_video(there / "walk", num_people=3, num_frames=4)
    for name in ("day.mp4", "day.txt", "night.mp4", "night.txt"):
        (there / name).symlink_to(there / "walk" / name)
    assert example("match") == 0
    assert "3 pairs of 3 tracks in A and 3 tracks in B" in capsys.readouterr().out


def test_gallery_and_calibrate(there, capsys):
    pytest.importorskip("lancedb")
    assert example("gallery") == 0
    (there / "gallery").symlink_to("people.gallery")
    assert example("calibrate") == 0
    assert "stored in gallery" in capsys.readouterr().out


def test_demo(there, monkeypatch):
    """tests/demo/test_page.py opens the page in a browser."""
    page = pytest.importorskip("torchreid_rgbir.demo.page")
    asked = []
    monkeypatch.setattr(page, "serve", lambda *words: asked.append(words))
    assert example("demo", "--port", "0") == 0
    [(answers, host, port, login)] = asked
    assert (answers.modality, len(answers.rows), host, login) == ("rgb", len(answers.references), "127.0.0.1", None)
    assert port > 0


def test_export(there, monkeypatch, capsys):
    """tests/export/test_folder.py exports a real model."""
    asked = []
    monkeypatch.setattr("torchreid_rgbir.export.export", lambda *words: asked.append(words) or {"files": 1e-6})
    timed = {"medians": {"onnx": 0.01, "eager": 0.02}, "ratios": {"onnx_over_eager": 0.5}}
    monkeypatch.setattr("torchreid_rgbir.benchmark.export.onnx_over_eager", lambda *words: timed)
    assert example("export") == 0
    assert asked == [("log/mso/model/model-best.pth.tar", Path("exported"), [])] and (there / asked[0][0]).is_file()
    assert "written to exported" in capsys.readouterr().out


def test_visualize(there, monkeypatch, capsys):
    """tests/runs/test_visualize.py draws a real run."""
    run = pytest.importorskip("torchreid_rgbir.runs.visualize")
    asked = []
    monkeypatch.setattr(run, "visualize", lambda *words: asked.append(words) or [Path(words[1], "report.html")])
    assert example("visualize") == 0
    assert asked == [("log/mso/model/model-best.pth.tar", "figures", "", [], {}, True, False)]
    assert capsys.readouterr().out == "written: figures/report.html\n"


def test_doctor(there, capsys):
    assert example("doctor") == 0
    assert "ready for training" in capsys.readouterr().out


def test_synthesize(there, monkeypatch):
    black = PRESETS["standard"]._replace(render=lambda *words: np.zeros((128, 64, 3), np.uint8))
    monkeypatch.setitem(PRESETS, "standard", black)
    assert example("synthesize") == 0
    assert example("synthesize") == 2  # the folder exists


def test_completion(there, capsys):
    assert example("completion") == 0
    assert "torchreid-rgbir" in capsys.readouterr().out


def test_quickstart(there, monkeypatch, capsys):
    real = config.load
    monkeypatch.setattr(config, "load", lambda name: config.override(real(name), SHORT))
    monkeypatch.setattr(quickstart_module, "NUM_IDS", 20)
    assert example("quickstart") == 0
    assert "trained network" in capsys.readouterr().out
    assert (there / "log/quickstart/ranked.png").is_file()


def by_target(cfg, results):
    """What a run returns: the results of each data set that it was tested on."""
    return {name: dict(results) for name in cfg.data.targets or cfg.data.sources}


@pytest.mark.parametrize("name", ["splits", "compare"])
def test_many_runs(there, name, monkeypatch, capsys):
    """Every configuration is checked; the results of one run stand for those of all."""
    results, made = json.loads((there / "log/mso/results.json").read_text()), []
    module = importlib.import_module(f"torchreid_rgbir.runs.{name}")
    monkeypatch.setattr(module, "resume_or_skip", lambda cfg, folder: made.append(cfg) or by_target(cfg, results))
    if name == "splits":
        for setting in results["settings"]:
            setting |= {"direction": "ir to rgb", "split": 1}
            del setting["search"]
    (there / "log/regdb").mkdir(parents=True, exist_ok=True)
    (there / "log/compare").mkdir(parents=True, exist_ok=True)
    assert example(name) == 0
    assert len(made) == {"splits": 10, "compare": 12}[name]
    for cfg in made:
        checks.check(cfg)
    captured = capsys.readouterr()
    assert {"splits": "mean of 10 splits", "compare": "| osnet_x1_0:softmax |"}[name] in captured.out
    assert {"splits": "split 10 of 10", "compare": "run 12 of 12: osnet_x1_0:softmax, seed 3"}[name] in captured.err


def test_ablation(there, monkeypatch, capsys):
    """As above, without data and starting points. tests/runs/test_ablation.py checks the methods."""
    results, made = json.loads((there / "log/mso/results.json").read_text()), []
    monkeypatch.setattr(
        compare_module, "resume_or_skip", lambda cfg, folder: made.append(cfg) or by_target(cfg, results)
    )
    monkeypatch.setattr(ingredients, "DATA", {"people": ("sysu_mm01", lambda root: root)})
    start = there / "start.pth"
    start.touch()
    monkeypatch.setattr(ingredients, "starting_point", lambda name, out: start)
    assert example("ablation") == 0
    assert len(made) == 21 and {cfg.train.seed for cfg in made} == {1, 2, 3}
    assert "mAP against id [95 % over seeds]" in capsys.readouterr().out
    assert (there / "log/ablation/ablation.md").is_file() and (there / "log/ablation/parts.png").is_file()


def test_benchmark(there, monkeypatch, capsys):
    asked = {}
    for part in ("loader", "step"):
        found = {"ratios": {part: 2.0}, "medians": {part: 0.1}, "spread": {part: (1.0, 3.0)}}
        found["limits"] = {part: (0.05, "one matrix product")} if part == "step" else {}
        monkeypatch.setattr(
            f"torchreid_rgbir.benchmark.{part}.{part}",
            lambda part=part, found=found, **flags: asked.update({part: flags}) or found,
        )
    assert example("benchmark") == 0
    assert asked == {"loader": {"rounds": 3}, "step": {"batch_size": 16, "rounds": 3}}
    _, _, loader, step = capsys.readouterr().out.splitlines()
    assert loader.split() == ["loader", "0.1000", "s"]
    assert step.split(maxsplit=3) == ["step", "0.1000", "s", "limit 0.0500 s: one matrix product"]
    assert (there / "benchmark.json").is_file()


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_example_parses(name):
    module = importlib.import_module(f"torchreid_rgbir.commands.{name}")
    program, command, *flags = shlex.split(module.EXAMPLE)
    assert (program, command) == ("torchreid-rgbir", name)
    parser = argparse.ArgumentParser()
    cli.describe(parser, module)
    parser.parse_args(flags)
