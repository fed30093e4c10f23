import os

import pytest

from torchreid_rgbir.benchmark.start import start, write_tiny_sysu_mm01
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01

PARTS = ("imports", "listing", "check", "model", "first_batch")
SMALL = [
    "train.batch_size",
    "16",
    "sampler.num_instances",
    "2",
    "data.height",
    "32",
    "data.width",
    "32",
    "data.workers",
    "0",
]


def test_the_tiny_data_set_has_the_layout_and_the_number_of_training_images(tmp_path):
    write_tiny_sysu_mm01(tmp_path, 11, 9 * 90 - 30)
    data = SYSUMM01(str(tmp_path), verbose=False)
    assert len(data.train) == 780 and data.num_train_pids == 9
    assert len(data.query) + len(data.gallery) == 2 * 90
    assert os.path.samefile(data.train[0].impath, data.train[1].impath)
    data.protocol.check(data.test_labels(), query="ir", sampling="official")


def test_the_parts_of_a_small_start():
    measured = start(rounds=1, num_ids=11, num_train=800, overrides=tuple(SMALL))
    seconds = {name.removeprefix("start_"): value for name, value in measured["medians"].items()}
    assert set(seconds) == {*PARTS, "total", "plain_listing"} and min(seconds.values()) > 0
    assert seconds["total"] == pytest.approx(sum(seconds[part] for part in PARTS))
    ratio = (seconds["listing"] + seconds["check"]) / seconds["plain_listing"]
    assert measured["ratios"] == {"start_over_plain_listing": pytest.approx(ratio)}


def test_an_error_in_the_started_process_is_reported():
    with pytest.raises(OSError, match="batch_size"):
        start(rounds=1, num_ids=11, num_train=800, overrides=("train.batch_size", "13"))
