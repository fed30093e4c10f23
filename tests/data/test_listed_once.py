"""Data sets are constructed once for training, queries and gallery, and behave as three of them."""

import pytest

from torchreid_rgbir import host
from torchreid_rgbir.data import CrossModalDataManager
from torchreid_rgbir.data.listed_once import listed_once
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01

MODES = ("train", "query", "gallery")


def views(root, **options):
    return [host.data.datasets.init_image_dataset("sysu_mm01", mode=mode, root=str(root), **options) for mode in MODES]


@pytest.mark.parametrize("combineall", [False, True])
def test_the_copies_equal_data_sets_that_are_constructed_for_each_mode(sysu_root, combineall, capsys):
    separate = views(sysu_root, combineall=combineall)
    printed = capsys.readouterr().out
    with listed_once(["sysu_mm01"]):
        shared = views(sysu_root, combineall=combineall)
    assert capsys.readouterr().out == printed and printed.count("Loaded SYSUMM01") == 3
    for one, other in zip(separate, shared, strict=True):
        assert one.data == other.data and one.mode == other.mode
        assert (one.num_train_pids, one.num_train_cams) == (other.num_train_pids, other.num_train_cams)
    shared[0].transform = "changed"
    assert shared[1].transform is None


def test_the_data_manager_lists_the_files_once_and_the_registry_is_as_before(sysu_root, monkeypatch):
    made, init = [], SYSUMM01.__init__
    monkeypatch.setattr(
        SYSUMM01, "__init__", lambda self, *args, **kwargs: made.append(1) or init(self, *args, **kwargs)
    )
    CrossModalDataManager(str(sysu_root), height=24, width=12, batch_size_train=16, num_instances=2, workers=0)
    assert len(made) == 1
    with pytest.raises(FileNotFoundError):
        CrossModalDataManager(str(sysu_root / "exp"), batch_size_train=16, num_instances=2, workers=0)
    assert host.image_datasets()["sysu_mm01"] is SYSUMM01
