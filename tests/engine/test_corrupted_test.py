"""A test with corrupted images adds rows, changes none, and gives the same numbers however it is computed."""

import json
import re

import numpy as np
import pytest

from torchreid_rgbir import config
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.train import train

CORRUPTED = ["test.corruption", "rgb", "test.corruption_repeats", "2"]


def keys(settings):
    return [(setting["search"], "rerank" in setting, "corruption" in setting) for setting in settings]


@pytest.fixture
def trained(fast_cfg, tmp_path):
    """The folder of a trained network, and a function that tests it again with other keys and returns its results."""
    train(fast_cfg)
    weights = str(tmp_path / "run" / "model" / "model.pth.tar-2")
    base = ["test.evaluate", "True", "model.load_weights", weights]

    def test(*words):
        cfg = config.override(fast_cfg.clone(), [*base, "data.save_dir", str(tmp_path / f"test{len(words)}"), *words])
        return train(cfg).results["sysu_mm01"]["settings"]

    return test


def test_corrupted_rows_follow_the_clean_ones(trained):
    clean, both = trained(), trained(*CORRUPTED)
    assert both[: len(clean)] == clean
    corrupted = both[len(clean) :]
    for before, after in zip(clean, corrupted, strict=True):
        assert after["corruption"] == {"images": "rgb", "seed": 0, "repeats": 2}
        assert after["num_trials"] == len(after["trials"]) == 2 * before["num_trials"]
        assert after["mean"]["mAP"] == pytest.approx(np.mean([trial["mAP"] for trial in after["trials"]]))
        assert after["std"]["mAP"] == pytest.approx(np.std([trial["mAP"] for trial in after["trials"]]))
        assert after["num_queries"] == before["num_queries"] and after["mean"] != before["mean"]
        assert report.setting_name(after) == f"{report.setting_name(before)}, corrupted RGB images"
        first, second = np.split(np.array([trial["mAP"] for trial in after["trials"]]), 2)
        assert (first != second).any()


def test_the_same_images_with_any_number_of_workers_and_any_seed_of_the_training(trained):
    expected = trained(*CORRUPTED)
    others = ["data.workers", "2", "test.batch_size", "7", "train.seed", "9"]
    again = trained(*CORRUPTED, *others)
    # The size of a batch changes the last digits of features, which may swap two images that are almost equally far away.
    for one, other in zip(expected, again, strict=True):
        assert one["mean"] == pytest.approx(other["mean"], abs=0.02)
    exact = trained(*CORRUPTED, *others, "test.batch_size", "64")
    assert exact == expected
    assert trained(*CORRUPTED, "test.corruption_seed", "1")[-1]["mean"] != expected[-1]["mean"]


def test_which_images_are_corrupted(trained):
    rows = {images: trained(*CORRUPTED, "test.corruption", images)[-1]["mean"] for images in ("rgb", "ir", "both")}
    assert rows["rgb"] != rows["ir"] != rows["both"] != rows["rgb"]


def test_flip_re_ranking_and_length_combine(trained, tmp_path):
    words = ["test.flip", "True", "test.normalize_feature", "True", "test.dist_metric", "euclidean"]
    settings = trained(*words, "test.rerank", "True", "test.rerank_settings", "[3, 2, 0.3]", *CORRUPTED)
    num = len(settings) // 4
    kinds = [(False, False), (True, False), (False, True), (True, True)]  # re-ranked, corrupted
    assert [key[1:] for key in keys(settings)] == [kind for kind in kinds for _ in range(num)]
    folder = next(path for path in tmp_path.iterdir() if path.name.startswith("test"))
    assert json.loads((folder / "results.json").read_text())["settings"] == settings
    assert ", corrupted RGB images, re-ranked (3, 2, 0.3) |" in (folder / "results.md").read_text()


def test_a_training_scores_corrupted_images_after_its_last_epoch(fast_cfg, tmp_path):
    clean = train(fast_cfg.clone())
    cached = ["data.cache", "disk", "data.cache_dir", str(tmp_path / "cache"), "data.save_dir", str(tmp_path / "other")]
    engine = train(config.override(fast_cfg, [*CORRUPTED, "test.eval_freq", "1", *cached]))
    settings = engine.results["sysu_mm01"]["settings"]
    before = clean.results["sysu_mm01"]["settings"]
    assert settings[: len(before)] == before and len(settings) == 2 * len(before)
    np.testing.assert_array_equal(engine.features["sysu_mm01"].features, clean.features["sysu_mm01"].features)
    log = (tmp_path / "other" / "train.log").read_text()
    assert log.count("test with corrupted images, repetition 2 of 2") == 1  # not in the test after the first epoch


@pytest.mark.parametrize(
    "words, message",
    [
        (["test.corruption", "gallery"], "test.corruption is 'gallery': choose from none, rgb, ir, both"),
        (["test.corruption_repeats", "0"], "test.corruption_repeats is 0: it must be a number above 0"),
        (["test.corruption_seed", "-1"], "test.corruption_seed is -1: it must be 0 to 4294967295"),
    ],
)
def test_bad_input(fast_cfg, words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        train(config.override(fast_cfg, words))
