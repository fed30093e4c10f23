"""The data manager: what its log says. Its batches are compared in test_cache.py, its data sets in test_cross_modal.py."""

import logging
from collections import Counter

import pytest

from torchreid_rgbir.data import CrossModalDataManager, Item
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.synthetic.write import synthesize


def load(sysu_root, **options):
    sizes = {"height": 24, "width": 12, "batch_size_train": 16, "num_instances": 2, "workers": 0}
    return CrossModalDataManager(str(sysu_root), **sizes, **options)


def test_the_log_states_the_transforms_in_use_and_not_torchreids(sysu_root, caplog, capsys):
    with caplog.at_level(logging.INFO):
        load(
            sysu_root,
            transforms=["random_flip", "pad_crop"],
            transforms_rgb=["channel_augment"],
            norm_mean=[0.5, 0.4, 0.3],
            norm_std=[0.2, 0.25, 0.3],
        )
    rgb, ir = (record.getMessage() for record in caplog.records if "training images" in record.getMessage())
    assert rgb == (
        "RGB training images: 24 x 12, random_flip, pad_crop, channel_augment, "
        "mean [0.5, 0.4, 0.3], standard deviation [0.2, 0.25, 0.3]"
    )
    assert ir.startswith("IR training images: 24 x 12, random_flip, pad_crop, mean [0.5")
    printed = capsys.readouterr().out
    assert "Loaded SYSUMM01" in printed and "Summary" in printed  # of torchreid
    assert "transforms" not in printed and "normalization" not in printed and "+ " not in printed


def test_without_augmentation_the_log_says_so(sysu_root, caplog):
    with caplog.at_level(logging.INFO):
        load(sysu_root, transforms=[])
    assert "RGB training images: 24 x 12, no augmentation, mean [0.485, 0.456, 0.406]" in caplog.text


def test_torchreids_own_test_transform_normalizes_alike(sysu_root):
    normalize = load(sysu_root, norm_mean=[0.5, 0.4, 0.3]).transform_te.transforms[-1]
    assert normalize.mean == [0.5, 0.4, 0.3]


@pytest.mark.parametrize("sampler", ["pk", "agw", "luckydc"])
@pytest.mark.parametrize(("balance", "shares"), [("size", {0: 3, 1: 1}), ("equal", {0: 2, 1: 2})])
def test_every_batch_of_several_data_sets_has_identities_of_each(sysu_root, tmp_path, balance, shares, sampler):
    """SYSU-MM01 has 16 training identities here, RegDB 5."""
    (tmp_path / "SYSU-MM01").symlink_to(sysu_root)
    synthesize("regdb", tmp_path / "RegDB", num_ids=10, images_per_camera=2, size=(16, 32), workers=1)
    options = {"sampler": sampler, "balance": balance, "batches_per_epoch": 5}
    data = load(tmp_path, sources=["sysu_mm01", "regdb"], targets="regdb", **options)
    items = data.train_loader.dataset.train
    assert data.num_train_pids == 21
    for batch in data.sampler:
        dataset_of = {items[index].pid: items[index].dsetid for index in batch}
        assert Counter(dataset_of.values()) == shares


def test_a_balance_without_effect(sysu_root):
    for options, why in (
        ({}, "one data set"),
        ({"sampler": "mcja", "sources": ["sysu_mm01", "llcm"]}, "sampler.name mcja"),
    ):
        with pytest.raises(ValueError, match=f"sampler.balance equal has no effect with {why}: remove it"):
            load(sysu_root, balance="equal", **options)


def test_cameras_may_number_their_tracks_alike(sysu_root):
    items = [
        *(Item("", 1, camid, 0, RGB, 1, track) for camid in (1, 2) for track in (1, 1, 2)),
        *(Item("", 2, 1, 0, RGB, 1) for _ in range(2)),
    ]
    tracks = load(sysu_root)._groups(items, "size")["tracks"]
    assert tracks[0] == tracks[1] and tracks[3] == tracks[4] and len({*tracks}) == 6
    assert load(sysu_root)._groups(items[6:], "size")["tracks"] is None
