"""Synthetic data sets: the official layouts, to the file; the same bytes for the same seed; nothing half-written."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from torchreid_rgbir.cli import main
from torchreid_rgbir.commands import synthesize as synthesize_command
from torchreid_rgbir.synthetic import write
from torchreid_rgbir.synthetic.write import describe, is_written, synthesize

SMALL = (16, 32)
LAYOUTS = ("sysu_mm01", "regdb", "llcm", "folder")
EACH_PRESET = pytest.mark.parametrize("preset", write.PRESETS)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def images(root: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob(pattern))


def ids_of(path: Path) -> list[int]:
    (line,) = path.read_text().splitlines()
    return [int(word) for word in line.split(",")]


def labels_of(path: Path) -> dict[str, int]:
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    assert len({name for name, _ in lines}) == len(lines)
    return {name: int(label) for name, label in lines}


@EACH_PRESET
@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_seed_same_bytes(layout, preset, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("other", 4)):
        synthesize(layout, tmp_path / name, 5, 2, seed=seed, size=SMALL, workers=1, preset=preset)

    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    other = digests(tmp_path / "other")
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.endswith(".jpg"))


@EACH_PRESET
def test_workers_do_not_change_the_bytes(preset, tmp_path):
    synthesize("sysu_mm01", tmp_path / "one", 10, 3, size=SMALL, workers=1, preset=preset)
    synthesize("sysu_mm01", tmp_path / "two", 10, 3, size=SMALL, workers=2, preset=preset)

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@EACH_PRESET
def test_identities_keep_their_pictures_when_the_set_grows(preset, tmp_path):
    synthesize("folder", tmp_path / "small", 5, 1, size=SMALL, workers=1, preset=preset)
    synthesize("folder", tmp_path / "large", 10, 2, size=SMALL, workers=1, preset=preset)

    small, large = digests(tmp_path / "small"), digests(tmp_path / "large")
    name = "train/rgb/0001/c1_0001.jpg"
    assert small[name] == large[name]


def test_sysu_mm01_has_the_official_files(tmp_path):
    root = tmp_path / "SYSU-MM01"
    synthesize("sysu_mm01", root, 20, 3, size=SMALL, workers=1)

    train, val, test = (ids_of(root / f"exp/{name}_id.txt") for name in ("train", "val", "test"))
    assert (train, val, test) == (list(range(1, 13)), list(range(13, 17)), list(range(17, 21)))
    expected = {f"cam{c}/{i:04d}/{n:04d}.jpg" for c in range(1, 7) for i in range(1, 21) for n in range(1, 4)}
    exp = {f"exp/{name}" for name in ("train_id.txt", "val_id.txt", "test_id.txt", "rand_perm_cam.mat")}
    assert set(digests(root)) == expected | exp | {"synthetic.json"}


@pytest.mark.parametrize(("num_images", "number_type"), [(1, np.uint8), (7, np.uint8), (300, np.uint16)])
def test_permutation_file_is_shaped_as_the_official_one(num_images, number_type, tmp_path):
    plan = write.LAYOUTS["sysu_mm01"](6, num_images, 0)
    (tmp_path / "rand_perm_cam.mat").write_bytes(plan.files["exp/rand_perm_cam.mat"])

    cameras = loadmat(tmp_path / "rand_perm_cam.mat")["rand_perm_cam"]

    assert cameras.shape == (6, 1) and cameras.dtype == object
    drawn = []
    for camera in cameras[:, 0]:
        assert camera.shape == (6, 1) and camera.dtype == object
        for table in camera[:, 0]:
            assert table.shape == (10, num_images) and table.dtype == number_type
            assert (np.sort(table, axis=1) == np.arange(1, num_images + 1)).all()
            drawn.append(table.tobytes())
    if num_images > 1:
        assert len(set(drawn)) == len(drawn)  # every camera and identity has draws of its own
        assert len({row.tobytes() for row in cameras[0, 0][0, 0]}) > 1  # and so has every trial


def test_regdb_has_ten_splits_in_halves(tmp_path):
    root = tmp_path / "RegDB"
    synthesize("regdb", root, 9, 2, size=SMALL, workers=1)

    for folder in ("Visible", "Thermal"):
        assert images(root, f"{folder}/*/*") == sorted(
            f"{folder}/{i}/{n:04d}.jpg" for i in range(1, 10) for n in (1, 2)
        )
    halves = []
    for split in range(1, 11):
        ids = {}
        for part, num_ids in (("train", 4), ("test", 5)):
            visible = labels_of(root / f"idx/{part}_visible_{split}.txt")
            thermal = labels_of(root / f"idx/{part}_thermal_{split}.txt")
            assert {name.replace("Visible", "Thermal"): label for name, label in visible.items()} == thermal
            assert Counter(visible.values()) == dict.fromkeys(range(num_ids), 2)
            by_label = {label: int(name.split("/")[1]) for name, label in visible.items()}
            assert all(by_label[label] == int(name.split("/")[1]) for name, label in visible.items())
            assert all((root / name).is_file() for name in [*visible, *thermal])
            ids[part] = set(by_label.values())
        assert ids["train"] | ids["test"] == set(range(1, 10)) and not ids["train"] & ids["test"]
        halves.append(frozenset(ids["train"]))
    assert len(set(halves)) > 5
    assert len(list((root / "idx").iterdir())) == 40


def test_llcm_has_the_official_files(tmp_path):
    root = tmp_path / "LLCM"
    synthesize("llcm", root, 10, 2, size=SMALL, workers=1)

    test_ids = ids_of(root / "idx/test_id.txt")
    assert test_ids == [9, 10]
    for word, cameras in (("vis", range(1, 10)), ("nir", (1, 2, 4, 5, 6, 7, 8, 9))):
        labels = labels_of(root / f"idx/train_{word}.txt")
        assert set(labels) == set(images(root, f"{word}/*/*.jpg"))
        assert Counter(labels.values()) == dict.fromkeys(range(8), 2 * len(cameras))
        assert {int(name.split("/")[1]) - 1 for name in labels} == set(labels.values())
        assert all(int(name.split("/")[1]) - 1 == label for name, label in labels.items())
        assert {name.split("_")[1] for name in labels} == {f"c{camera:02d}" for camera in cameras}
        assert {path.name for path in (root / f"test_{word}").iterdir()} == {f"cam{camera}" for camera in cameras}
        for camera in cameras:
            folders = [root / f"test_{word}/cam{camera}/{pid:04d}" for pid in test_ids]
            assert sorted((root / f"test_{word}/cam{camera}").iterdir()) == folders
            assert all(len(list(folder.glob("*.jpg"))) == 2 for folder in folders)


def test_folder_has_train_and_test_by_modality(tmp_path):
    root = tmp_path / "mine"
    synthesize("folder", root, 10, 2, size=SMALL, workers=1)

    for part, ids in (("train", range(1, 9)), ("test", (9, 10))):
        for word, cameras in (("rgb", (1, 2, 4, 5)), ("ir", (3, 6))):
            expected = {f"{part}/{word}/{i:04d}/c{c}_{n:04d}.jpg" for i in ids for c in cameras for n in (1, 2)}
            assert set(images(root, f"{part}/{word}/*/*")) == expected


@EACH_PRESET
@pytest.mark.parametrize(
    ("layout", "rgb", "ir"),
    [
        ("sysu_mm01", "cam1/0002/0001.jpg", "cam6/0002/0001.jpg"),
        ("regdb", "Visible/2/0001.jpg", "Thermal/2/0001.jpg"),
        ("llcm", "vis/0002/0002_c01_s000001_f0001_vis.jpg", "nir/0002/0002_c01_s000001_f0001_nir.jpg"),
        ("folder", "test/rgb/0005/c1_0001.jpg", "test/ir/0005/c3_0001.jpg"),
    ],
)
def test_files_are_jpegs_and_only_ir_is_gray(layout, rgb, ir, preset, tmp_path):
    synthesize(layout, tmp_path / "set", 5, 1, workers=1, preset=preset)

    for path, gray in ((rgb, False), (ir, True)):
        with Image.open(tmp_path / "set" / path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))
            pixels = np.asarray(image)
        assert (pixels == pixels[..., :1]).all() == gray


@pytest.mark.parametrize("layout", LAYOUTS)
def test_summary_counts_what_is_there(layout, tmp_path):
    root = tmp_path / "set"
    made = synthesize(layout, root, 11, 2, seed=1, size=SMALL, workers=1)

    assert made == json.loads((root / "synthetic.json").read_text()) == describe(layout, 11, 2, 1, SMALL)
    gray = 0
    files = [path for path in root.rglob("*.jpg")]
    for path in files:
        pixels = np.asarray(Image.open(path))
        gray += bool((pixels == pixels[..., :1]).all())
    assert (made["num_rgb_images"], made["num_ir_images"]) == (len(files) - gray, gray)
    assert (made["num_train_ids"], made["num_test_ids"]) == ((5, 6) if layout == "regdb" else (9, 2))


def test_is_written_knows_the_very_set(tmp_path, monkeypatch):
    root = tmp_path / "set"
    assert not is_written("folder", root, 5, 1, size=SMALL)
    synthesize("folder", root, 5, 1, size=SMALL, workers=1)

    assert is_written("folder", root, 5, 1, size=SMALL)
    assert not is_written("sysu_mm01", root, 5, 1, size=SMALL)
    assert not is_written("folder", root, 6, 1, size=SMALL)
    assert not is_written("folder", root, 5, 2, size=SMALL)
    assert not is_written("folder", root, 5, 1, seed=1, size=SMALL)
    assert not is_written("folder", root, 5, 1)
    assert not is_written("folder", root, 5, 1, size=SMALL, preset="hard")
    with monkeypatch.context() as patch:
        patch.setitem(write.PRESETS, "standard", write.PRESETS["standard"]._replace(version=-1))
        assert not is_written("folder", root, 5, 1, size=SMALL)
    (root / "synthetic.json").write_text("[]")
    assert not is_written("folder", root, 5, 1, size=SMALL)
    (root / "synthetic.json").write_text("{")
    assert not is_written("folder", root, 5, 1, size=SMALL)


def test_a_set_from_before_there_were_presets_is_a_standard_one(tmp_path):
    # write.json as version 0.1.0 wrote it.
    old = {"layout": "folder", "renderer": 1, "seed": 0, "num_ids": 5, "images_per_camera": 1, "size": [16, 32]}
    old |= {"num_train_ids": 4, "num_test_ids": 1, "num_rgb_images": 20, "num_ir_images": 10}
    (tmp_path / "synthetic.json").write_text(json.dumps(old))

    assert is_written("folder", tmp_path, 5, 1, size=SMALL)
    assert not is_written("folder", tmp_path, 5, 1, size=SMALL, preset="hard")


def test_a_set_tells_its_preset_and_the_version_of_it(tmp_path, monkeypatch):
    monkeypatch.setitem(write.PRESETS, "hard", write.PRESETS["hard"]._replace(version=7))
    synthesize("folder", tmp_path / "hard", 5, 1, size=SMALL, workers=1, preset="hard")

    told = json.loads((tmp_path / "hard" / "synthetic.json").read_text())
    assert (told["preset"], told["renderer"]) == ("hard", 7)
    assert is_written("folder", tmp_path / "hard", 5, 1, size=SMALL, preset="hard")


def test_presets_share_nothing_but_the_layout(tmp_path):
    for preset in write.PRESETS:
        synthesize("sysu_mm01", tmp_path / preset, 5, 1, size=SMALL, workers=1, preset=preset)

    standard, hard = digests(tmp_path / "standard"), digests(tmp_path / "hard")
    assert standard.keys() == hard.keys()
    assert {name for name in hard if hard[name] == standard[name]} == {name for name in hard if name.startswith("exp")}


def test_an_empty_folder_is_taken_and_a_missing_parent_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    synthesize("folder", tmp_path / "empty", 5, 1, size=SMALL, workers=1)
    synthesize("folder", tmp_path / "a/b/c", 5, 1, size=SMALL, workers=1)

    assert (tmp_path / "empty/synthetic.json").is_file()
    assert (tmp_path / "a/b/c/synthetic.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "a"}


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: (path / "kept").mkdir(parents=True)])
def test_what_is_there_is_never_touched(make, tmp_path):
    make(tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(FileExistsError, match="exists and is not an empty folder: choose a different one"):
        synthesize("folder", tmp_path / "set", 5, 1, size=SMALL, workers=1)

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("num_good", [0, 1])
def test_nothing_half_written_stays(error, num_good, tmp_path, monkeypatch):
    draw, calls = write._render, []

    def failing(*args):
        calls.append(args)
        if len(calls) > num_good:
            raise error
        return draw(*args)

    monkeypatch.setattr(write, "_render", failing)
    with pytest.raises(type(error)):
        synthesize("sysu_mm01", tmp_path / "set", 5, 4, size=SMALL, workers=1)

    assert len(calls) == num_good + 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_stays_when_a_worker_fails(tmp_path, monkeypatch):
    def plan_with_a_bad_file(*args):
        plan = write.LAYOUTS["sysu_mm01"](*args)
        plan.images[-1] = plan.images[-1]._replace(path="no.image")  # no such format
        return plan

    monkeypatch.setattr(write, "LAYOUTS", {**write.LAYOUTS, "bad": plan_with_a_bad_file})
    with pytest.raises(ValueError, match="unknown file extension"):
        synthesize("bad", tmp_path / "set", 5, 4, size=SMALL, workers=2)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "market1501"}, "unknown layout 'market1501': choose one of sysu_mm01, regdb, llcm, folder"),
        ({"preset": "easy"}, "unknown preset 'easy': choose one of standard, hard"),
        ({"num_ids": 4}, "4 identities: give 5 to 9999"),
        ({"num_ids": 10000}, "10000 identities: give 5 to 9999"),
        ({"images_per_camera": 0}, "0 images per identity and camera: give 1 to 9999"),
        ({"seed": -1}, "seed is -1: give 0 or more"),
        ({"size": (64, 8)}, "size is 64 x 8: give"),
        ({"workers": 0}, "workers is 0: give 1 or more"),
    ],
)
def test_bad_arguments_are_said_in_one_line(change, message, tmp_path):
    good = {"layout": "folder", "num_ids": 5, "images_per_camera": 1, "seed": 0, "size": SMALL, "workers": 1}
    with pytest.raises(ValueError, match=message) as caught:
        synthesize(out=tmp_path / "set", **{**good, **change})

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="cannot write .*: choose a folder that you may write to"):
        synthesize("folder", tmp_path / "file" / "set", 5, 1, size=SMALL, workers=1)


@pytest.mark.parametrize(
    ("layout", "dataset"),
    [("sysu_mm01", "sysu_mm01"), ("regdb", "regdb"), ("llcm", "llcm"), ("folder", "rgbir_folder")],
)
def test_command_writes_and_says_what_is_next(layout, dataset, tmp_path, capsys):
    out = str(tmp_path / "set")
    assert main(["synthesize", "--layout", layout, "--out", out, "--ids", "5", "--images", "1", "--seed", "2"]) == 0

    shown = capsys.readouterr()
    made = describe(layout, 5, 1, seed=2)
    assert json.loads(Path(out, "synthetic.json").read_text()) == made
    assert f"{made['num_rgb_images']} RGB and {made['num_ir_images']} IR images of 5 identities" in shown.out
    assert f"next: torchreid-rgbir doctor --dataset {dataset} --root {out}" in shown.out
    assert shown.err == ""  # no progress bar where there is no terminal


def test_command_draws_hard_pictures_of_more_people(tmp_path, monkeypatch):
    monkeypatch.setitem(synthesize_command.PRESETS, "hard", 7)
    flags = ["synthesize", "--preset", "hard", "--layout", "folder", "--images", "1"]
    assert main([*flags, "--out", str(tmp_path / "default")]) == 0
    assert main([*flags, "--out", str(tmp_path / "five"), "--ids", "5"]) == 0

    assert is_written("folder", tmp_path / "default", 7, 1, preset="hard")
    assert is_written("folder", tmp_path / "five", 5, 1, preset="hard")


def test_command_turns_mistakes_into_status_2(tmp_path, capsys):
    flags = ["synthesize", "--layout", "folder", "--out", str(tmp_path / "set")]
    assert main([*flags, "--ids", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("torchreid-rgbir synthesize: error: 1 identities: give 5 to 9999")
    with pytest.raises(SystemExit) as caught:
        main(["synthesize", "--layout", "folder"])
    assert caught.value.code == 2
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*flags, "--preset", "easy"])
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and "'easy'" in line and "'standard', 'hard'" in line
    assert os.listdir(tmp_path) == []


def test_ctrl_c_while_a_worker_starts_leaves_none_behind(tmp_path):
    """It would wait for work for ever, and the command for it."""
    code = """
import signal, sys
from multiprocessing.process import BaseProcess
from torchreid_rgbir.data.synthetic import synthesize

start, numbers = BaseProcess.start, iter(range(1, 99))
def interrupted(self):
    start(self)
    if next(numbers) == 2:
        signal.raise_signal(signal.SIGINT)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs are without
    BaseProcess.start = interrupted
    try:
        synthesize("sysu_mm01", sys.argv[1], 20, 3, size=(16, 32), workers=2)
    except KeyboardInterrupt:
        print("interrupted")
"""
    (tmp_path / "script.py").write_text(code)
    words = [sys.executable, tmp_path / "script.py", tmp_path / "set"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert run.stdout == "interrupted\n" and not run.returncode, run.stderr
    assert not (tmp_path / "set").exists()
