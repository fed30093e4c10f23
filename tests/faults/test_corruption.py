"""A damaged file of any kind ends in a one-line error or in a correct run, in time, and no other file changes."""

import hashlib
import json
import math
import os
import random
import shutil
from collections import Counter

import pytest

from tests import tiny
from tests.faults.processes import finish, start
from torchreid_rgbir.metrics.features import save_features
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs.train import train

SEED = 11
ONE_EPOCH = ["train.max_epoch", "1", "sampler.batches_per_epoch", "1"]


@pytest.fixture(scope="module")
def given(sysu_root, tmp_path_factory):
    """A folder with one intact file of each kind: data/, run/ of two epochs, features.npz, config.yaml."""
    folder = tmp_path_factory.mktemp("given")
    shutil.copytree(sysu_root, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
        engine = train(tiny.configuration(sysu_root, folder / "run"))
    save_features(folder / "features.npz", engine.features["sysu_mm01"])
    shutil.copy(folder / "run" / "config.yaml", folder / "config.yaml")
    shutil.copy(folder / "run" / "model" / "model-best.pth.tar", folder / "weights.pth.tar")
    return folder


def damage(path, generator):
    """Flips bytes, cuts the end off, or both."""
    data = bytearray(path.read_bytes())
    how = generator.choice(("flipped", "cut", "flipped and cut"))
    if "flipped" in how:
        for _ in range(generator.randint(1, 8)):
            data[generator.randrange(len(data))] ^= generator.randint(1, 255)
    if "cut" in how:
        del data[generator.randrange(len(data)) :]
    path.unlink()  # other names are links to the same file
    path.write_bytes(data)
    return how


def scene(kind, folder, generator):
    """Returns the file to damage and the command that reads it."""
    data, run, new = folder / "data", folder / "run", folder / "new"
    training = ["train", "--config-file", "quickstart", "--root", data, *tiny.SETTINGS, "data.save_dir", new]
    scoring = ["evaluate", folder / "features.npz", "--protocol", "sysu_mm01", "--json", folder / "scores.json"]
    official = [*scoring, "--permutations", data / "exp" / "rand_perm_cam.mat"]
    if kind == "image":
        skip = generator.choice(("True", "False"))
        return generator.choice(sorted(data.rglob("*.jpg"))), [*training, *ONE_EPOCH, "data.skip_broken", skip]
    if kind == "id list":
        return generator.choice(sorted(data.rglob("*_id.txt"))), [*training, *ONE_EPOCH]
    if kind == "configuration":
        words = ["--root", data, "data.save_dir", new, "data.workers", "0", *ONE_EPOCH]
        return folder / "config.yaml", ["train", "--config-file", folder / "config.yaml", *words]
    if kind == "checkpoint of a run":
        newest = run / "model" / "model.pth.tar-2"
        words = ["data.save_dir", run, "model.resume", "auto"]
        return newest, ["train", "--config-file", "quickstart", "--root", data, *tiny.SETTINGS, *words]
    if kind == "weights":
        weights = folder / "weights.pth.tar"
        return weights, [*training, "model.load_weights", weights, "test.evaluate", "True"]
    if kind == ".mat":
        return data / "exp" / "rand_perm_cam.mat", official
    return folder / "features.npz", official


KINDS = ("image", "id list", "configuration", "checkpoint of a run", "weights", ".mat", ".npz")


def damage_inputs(given, tmp_path, num):
    generator, ends = random.Random(SEED), {kind: Counter() for kind in KINDS}
    for trial in range(num):
        kind = KINDS[trial % len(KINDS)]
        folder = tmp_path / f"trial{trial}"
        shutil.copytree(given, folder, copy_function=os.link)
        path, words = scene(kind, folder, generator)
        what = f"trial {trial}: {path}, {damage(path, generator)}"
        before = inputs(folder)
        status = finish(start(words, folder / "output.txt"), seconds=30)
        output = (folder / "output.txt").read_text(errors="replace")
        assert status is not None, f"{what} hangs:\n{output}"
        assert status in (0, 2) and "Traceback" not in output, f"{what} ends with {status}:\n{output}"
        assert inputs(folder) == before, what
        if status == 2:
            assert ": error: " in output.strip().splitlines()[-1], f"{what}:\n{output}"
        else:
            assert sound(folder), f"{what}:\n{output}"
        if kind == "checkpoint of a run":
            assert status == 0, f"{what}:\n{output}"  # from the one before it
        ends[kind]["error" if status else "run"] += 1
        shutil.rmtree(folder)
    lines = [
        f"  {kind}: {sum(end.values())}, {end['error']} clean errors, {end['run']} runs" for kind, end in ends.items()
    ]
    print(f"\n{num} damaged files:", *lines, sep="\n")


def inputs(folder):
    """A checksum of every file that a command has no business to change."""
    files = [*(folder / "data").rglob("*"), *folder.glob("*.*")]
    written = ("output.txt", "scores.json")
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.name not in written
    }


def sound(folder):
    """Whether a command that ended well left finite numbers."""
    paths = (folder / "new" / "results.json", folder / "run" / "results.json", folder / "scores.json")
    results = [json.loads(path.read_text()) for path in paths if path.is_file()]
    return all(math.isfinite(setting["mean"]["mAP"]) for result in results for setting in result["settings"])


def test_damaged_inputs(given, tmp_path):
    damage_inputs(given, tmp_path, 2 * len(KINDS))


@pytest.mark.slow
@pytest.mark.faults
def test_many_damaged_inputs(given, tmp_path):
    damage_inputs(given, tmp_path, 301)
