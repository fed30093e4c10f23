"""`data.ir_range` from the configuration to the images, the checkpoint and a later test."""

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir import config
from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.data.transforms import Decode
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train


@pytest.fixture
def thermal(fast_cfg, sysu_root, tmp_path):
    """The configuration of a run on data whose IR images have 14 bits."""
    root = tmp_path / "thermal" / "SYSU-MM01"
    for path in sysu_root.rglob("*"):
        target = root / path.relative_to(sysu_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg" and {"cam3", "cam6"} & set(path.parts):
            gray = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
            Image.fromarray(7000 + 4 * gray).save(target.with_suffix(".png"))
        elif path.is_file():
            target.symlink_to(path)
    return config.override(fast_cfg, ["data.root", str(root), "train.max_epoch", "1", "data.cache", "disk"])


@pytest.mark.parametrize("rule", ["auto", "7000,8100", "dtype"])
def test_the_rule_reaches_the_images_and_the_checkpoint(thermal, rule, tmp_path):
    engine = train(config.override(thermal, ["data.ir_range", rule]))
    trainset = engine.train_loader.dataset
    sample = next(trainset[i] for i in range(len(trainset)) if trainset.train[i].modality == 1)
    expected = Decode(thermal.data.height, thermal.data.width)(read_image(sample["impath"], rule))
    assert torch.equal(sample["img"], expected) and (expected.max() < 40) == (rule == "dtype")
    state = checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-1")
    assert state["about"]["images"]["ir_range"] == rule
    assert config.load(tmp_path / "run" / "config.yaml").data.ir_range == rule


def test_a_test_with_another_rule_than_the_training_is_warned_of(thermal, tmp_path, caplog):
    train(config.override(thermal, ["data.ir_range", "7000,8100"]))
    path = tmp_path / "run" / "model" / "model.pth.tar-1"
    test = config.override(thermal, ["test.evaluate", "True", "model.load_weights", str(path), "data.cache", "none"])
    for rule, warned in (("7000, 8.1e3", False), ("auto", True)):
        caplog.clear()
        build_engine(config.override(test.clone(), ["data.ir_range", rule]))
        assert ("set data.ir_range 7000,8100" in caplog.text) == warned
    state = checkpoint.load(path)
    del state["about"]["images"]["ir_range"]  # as version 0.1 wrote it
    checkpoint.save(state, path)
    caplog.clear()
    build_engine(test)
    assert "was trained with data.ir_range dtype, and the configuration has 7000,8100" in caplog.text
