import copy
import re

import pytest
import torch

from tests import tiny
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.reach import PARTS, gradient_norms, movement, tables
from torchreid_rgbir.runs.train import train


@pytest.fixture
def cfg(sysu_root, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
    words = ["loss.mso.weight_pef", "1", "loss.pef.weights", "random", "data.height", "64", "data.width", "32"]
    return tiny.configuration(sysu_root, tmp_path / "run", "model.name", "dual_resnet18", *words)


def test_a_gradient_is_what_a_backward_pass_leaves(cfg):
    torch.manual_seed(0)
    norms = gradient_norms(build_engine(cfg), num_batches=1)
    assert set(norms) == {"id", "wrt", "pef", "cmcc"} and all(tuple(own) == PARTS for own in norms.values())
    assert norms["pef"]["shared layers"] == 0 and min(own["Layer0"] for own in norms.values()) > 0
    torch.manual_seed(0)
    alone = build_engine(cfg)
    alone.step.criterion.weights = {name: float(name == "wrt") for name in alone.step.criterion.weights}
    alone.step.guard.step = lambda: None  # the gradients stay
    alone.step.guard.optimizer.zero_grad = lambda: None
    alone.set_model_mode("train")
    alone.datamanager.sampler.set_epoch(0, 0)
    alone.epoch, alone.batch_idx, alone.num_batches = 0, 0, 1
    alone.forward_backward(next(iter(alone.train_loader)))
    for part, start in zip(PARTS, ("layer0.", "layer"), strict=True):
        own = [
            weight.grad
            for name, weight in alone.model.named_parameters()
            if weight.grad is not None
            and not name.startswith("classifier.")
            and name.startswith("layer0.") == (start == "layer0.")
        ]
        expected = torch.stack([grad.square().sum() for grad in own]).sum().sqrt()
        assert norms["wrt"][part] == pytest.approx(float(expected), rel=1e-4)


def test_movement_is_relative_and_leaves_the_classifier_out():
    before = tiny.tiny_resnet(4, loss="mso")
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.classifier.weight.mul_(7)
        for name, weight in after.named_parameters():
            if name.startswith("layer0."):
                weight.mul_(1.1)
    assert movement(before, after) == pytest.approx({"Layer0": 0.1, "shared layers": 0.0}, abs=1e-6)


def test_the_tables_have_each_loss_and_each_method(cfg):
    train(cfg)
    weights = f"{cfg.data.save_dir}/model/model.pth.tar-{cfg.train.max_epoch}"
    text = tables({"mso": [(cfg, weights)]})
    assert re.findall(r"^\| (\w+) \|", text, re.MULTILINE) == ["loss", "id", "wrt", "pef", "cmcc", "method", "mso"]
    assert "| loss | Layer0, start | Layer0, end | shared layers, start | shared layers, end |" in text
    moved = [float(cell) for cell in re.search(r"\| mso \| ([\d.]+) % \| ([\d.]+) % \|", text).groups()]
    assert min(moved) > 0
