import math

import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.engine.schedule import build_lr_scheduler, decay_by_depth, warmup_cosine
from torchreid_rgbir.models import MODELS, dual_resnet18


def learning_rates(cfg, num_epochs):
    """The learning rate of epochs 1..num_epochs, as the engine steps them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.train.lr)
    scheduler = build_lr_scheduler(
        optimizer,
        cfg.train.lr_scheduler,
        cfg.train.stepsize,
        cfg.train.gamma,
        cfg.train.max_epoch,
        cfg.train.warmup_epoch,
        cfg.train.warmup_start,
    )
    rates = []
    for _ in range(num_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_patents_learning_rate_of_every_epoch():
    def patent(epoch):
        if epoch <= 10:
            return 0.0005 + (0.005 - 0.0005) * (epoch - 1) / 9
        if epoch <= 20:
            return 0.005
        if epoch <= 25:
            return 0.0005
        if epoch <= 30:
            return 0.00005
        return 0.000005

    assert learning_rates(config.load("mso_sysu"), 200) == pytest.approx(
        [patent(epoch) for epoch in range(1, 201)], rel=1e-9
    )


def test_cosine_rises_falls_and_stays_above_zero():
    rates = [warmup_cosine(epoch, warmup_epoch=5, max_epoch=30) for epoch in range(1, 31)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[4] == max(rates) == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx((1 + math.cos(math.pi * 25 / 26)) / 2)
    assert rates[-1] > 0


def test_the_start_of_the_warm_up():
    """A published schedule: epoch t, from 0, has the factor 0.01 (1 - t / 10) + t / 10 before epoch 10."""
    words = ["train.warmup_epoch", "11", "train.warmup_start", "0.01", "train.stepsize", "[40]", "train.lr", "1.0"]
    rates = learning_rates(config.override(config.defaults(), words), 42)
    assert rates[:10] == pytest.approx([0.01 * (1 - t / 10) + t / 10 for t in range(10)], rel=1e-12)
    assert rates[10:40] == [1.0] * 30 and rates[40:] == pytest.approx([0.1, 0.1])
    assert warmup_cosine(1, warmup_epoch=5, max_epoch=30, start=0.2) == 0.2


def test_no_warm_up():
    assert warmup_cosine(1, warmup_epoch=0, max_epoch=10) < 1
    assert warmup_cosine(1, warmup_epoch=1, max_epoch=10) == 1


def test_torchreids_own_schedules_pass_through():
    cfg = config.override(
        config.defaults(), ["train.lr_scheduler", "multi_step", "train.stepsize", "[2,4]", "train.lr", "1.0"]
    )
    assert learning_rates(cfg, 6) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_resumed_schedule_goes_on_where_it_stopped():
    def build():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimizer, build_lr_scheduler(optimizer)

    optimizer, scheduler = build()
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    again_optimizer, again = build()
    again_optimizer.load_state_dict(optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    for _ in range(20):
        for one, two in ((optimizer, scheduler), (again_optimizer, again)):
            one.step()
            two.step()
        assert again_optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_the_learning_rate_falls_by_one_factor_from_layer_to_layer(name):
    pytest.importorskip("timm")
    model = MODELS[f"timm/{name}"](6, pretrained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    decay_by_depth(optimizer, model, 0.5)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    names = {id(value): key for key, value in model.named_parameters()}
    rates = {names[id(value)]: group["lr"] for group in optimizer.param_groups for value in group["params"]}
    layers = sorted(set(rates.values()))
    assert layers == [0.5**power for power in range(len(layers) - 1, -1, -1)]
    assert rates["classifier.weight"] == rates["bottleneck.weight"] == 1
    assert {rates[key] for key in rates if key.startswith("layer0.")} == {layers[0]}
    if name == "test_vit":
        assert rates["trunk.blocks.1.attn.qkv.weight"] == 2 * rates["trunk.blocks.0.attn.qkv.weight"]
        assert rates["trunk.pos_embed"] == layers[0]


def test_the_learning_rate_falls_in_resnets_too():
    model = dual_resnet18(3, pretrained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    decay_by_depth(optimizer, model, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5, 1]
