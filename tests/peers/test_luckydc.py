"""LuckyDC's baseline, github.com/LuckyDC/RGB-IR-ReID-Baseline at commit 49801f8, beside ours: the same steps."""

from copy import deepcopy

import pytest
import torch
import torchvision

from tests.peers.peer_code import (
    LUCKYDC,
    Differences,
    Ours,
    batches,
    compare_gradients,
    compare_weights,
    imported,
    make_trained_like,
)
from torchreid_rgbir import config
from torchreid_rgbir.runs.peer_checkpoints import FORMATS

NUM_CLASSES = 12
NAMES = FORMATS["luckydc"].their_name


@pytest.fixture
def theirs(monkeypatch):
    with imported(LUCKYDC):
        import models.resnet

        monkeypatch.setattr(models.resnet, "load_url", lambda url: torchvision.models.resnet50().state_dict())
        from models.baseline import Baseline

        torch.manual_seed(0)
        network = Baseline(NUM_CLASSES).double().train()
        make_trained_like(network)
        yield network


def optimizer_and_schedule(model):
    """Both as the authors' train.py and baseline.yml make them."""
    from utils.lr_scheduler import WarmupMultiStepLR

    optimizer = torch.optim.Adam(model.get_param_groups(0.01, 5e-4), lr=0.01, betas=(0.5, 0.999), weight_decay=5e-4)
    return optimizer, WarmupMultiStepLR(optimizer, [40, 70], gamma=0.1, warmup_epochs=10, warmup_factor=0.01)


def step(model, optimizer, images, pids):
    """Their training step, as in engine/engine.py. Returns the features and the losses."""
    features = []
    handle = model.bn_neck.register_forward_hook(lambda _, __, output: features.append(output.detach()))
    loss, losses = model(images, labels=pids)
    handle.remove()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return features[0], losses


def test_twenty_steps_are_the_same(theirs):
    ours = Ours(config.load("luckydc_sysu"), NUM_CLASSES)
    ours.load(theirs, NAMES)
    other = deepcopy(theirs)  # gets the images in a different order
    optimizer, other_optimizer = (optimizer_and_schedule(model)[0] for model in (theirs, other))
    differences, reordered = Differences(), Differences()
    for images, pids in batches(NUM_CLASSES, counts=[(2, 2)] * 4):
        features, losses = step(theirs, optimizer, images, pids)
        our_losses = ours(images, pids, num_rgb=8)
        differences.add("features", ours.features, features)
        differences.add("identity loss", our_losses["loss_id"], losses["ce"])
        differences.add("triplet loss", our_losses["loss_tri_pooled"], losses["tri"])
        compare_gradients(differences, ours, theirs, NAMES)
        compare_weights(differences, ours.model, theirs, NAMES)
        step(other, other_optimizer, images.flip(0), pids.flip(0))
    compare_weights(reordered, other, theirs, str)
    differences.show("LuckyDC's baseline")
    reordered.show("LuckyDC's own code with the images of each batch in reverse order")
    differences.check()


def test_learning_rates_of_all_epochs(theirs):
    ours = Ours(config.load("luckydc_sysu"), NUM_CLASSES)
    optimizer, schedule = optimizer_and_schedule(theirs)
    for _ in range(120):
        rates, our_rates = (
            sorted(group["lr"] for group in groups.param_groups) for groups in (optimizer, ours.optimizer)
        )
        assert our_rates == pytest.approx(rates, rel=1e-12)
        optimizer.step()
        ours.optimizer.step()
        schedule.step()
        ours.schedule.step()
