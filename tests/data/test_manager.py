"""The data manager: what its log says. Its batches are compared in test_cache.py, its data sets in test_cross_modal.py."""

import logging

from torchreid_rgbir.data import CrossModalDataManager


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
