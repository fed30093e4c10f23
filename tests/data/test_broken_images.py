"""Images that cannot be read are left out where that was asked for, counted and named."""

import json
import shutil

import pytest

from torchreid_rgbir.cli import main
from torchreid_rgbir.data.broken_images import find_broken_images


@pytest.fixture
def broken(sysu_root, tmp_path):
    """A copy of the data with one broken training image; its path."""
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    path = min((tmp_path / "SYSU-MM01" / "cam1" / "0001").iterdir())
    path.write_bytes(path.read_bytes()[:300])
    return path


def run(cfg, tmp_path, *words):
    (tmp_path / "cfg.yaml").write_text(cfg.dump())
    words = ["data.root", str(tmp_path), "train.max_epoch", "1", "loss.mso.weight_pef", "0", *words]
    return main(["train", "--config-file", str(tmp_path / "cfg.yaml"), *words])


def test_a_broken_image_is_left_out_counted_and_named(tiny_cfg, broken, tmp_path, capsys):
    assert run(tiny_cfg, tmp_path, "data.skip_broken", "True") == 0
    end = capsys.readouterr().out.splitlines()[-2:]
    assert end[0] == "warning: 1 images cannot be read and were skipped:"
    assert str(broken) in end[1] and "cannot be read" in end[1]
    results = json.loads((tmp_path / "run" / "results.json").read_text())["run"]
    assert results["num_left_out"] == 1
    assert results["data"]["train"]["num_files"] == 16 * 6 * 2 - 1


def test_without_being_asked_it_is_an_error_that_says_how(tiny_cfg, broken, tmp_path, capsys):
    assert run(tiny_cfg, tmp_path, "sampler.batches_per_epoch", "40") == 2
    error = capsys.readouterr().err
    assert str(broken) in error and "data.skip_broken True" in error and error.count("\n") == 1


def test_a_test_image_of_the_official_trials_cannot_be_left_out(tiny_cfg, sysu_root, tmp_path, capsys):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    for path in (tmp_path / "SYSU-MM01" / "cam1" / "0017").iterdir():
        path.write_bytes(b"")
    assert run(tiny_cfg, tmp_path, "data.skip_broken", "True") == 2
    assert "test.sampling agw" in capsys.readouterr().err
    assert run(tiny_cfg, tmp_path, "data.skip_broken", "True", "test.sampling", "agw") == 0


def test_images_after_a_gap_are_numbered_anew(tiny_cfg, sysu_root, tmp_path):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    min((tmp_path / "SYSU-MM01" / "cam1" / "0018").iterdir()).write_bytes(b"")
    assert run(tiny_cfg, tmp_path, "data.skip_broken", "True", "test.sampling", "agw") == 0


def test_nothing_left_is_an_error(tiny_cfg, sysu_root, tmp_path, capsys):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    for path in (tmp_path / "SYSU-MM01").rglob("*.jpg"):
        path.write_bytes(b"")
    assert run(tiny_cfg, tmp_path, "data.skip_broken", "True") == 2
    assert "none of the train images can be read" in capsys.readouterr().err


def test_each_path_is_tried_once_and_keeps_its_order(tmp_path):
    paths = [str(tmp_path / name) for name in ("b.jpg", "a.jpg")]
    assert list(find_broken_images(paths)) == paths
    assert all("is missing" in error for error in find_broken_images(paths).values())
