"""Batches that are not finite never reach the weights."""

import copy
import logging

import pytest
import torch
from torch import nn

from tests.whole_runs import assert_equal
from torchreid_rgbir import config, host
from torchreid_rgbir.engine import CrossModalEngine, collapse
from torchreid_rgbir.engine.guard import NonFiniteError, NonFiniteGuard
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.runs.train import train

OPTIMS = ["adam", "amsgrad", "sgd", "rmsprop", "radam"]
IMAGES = [f"{i}.jpg" for i in range(6)]


def make(optim, allowed):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = host.optim.build_optimizer(model, optim=optim, lr=0.1)
    return model, optimizer, NonFiniteGuard(model, optimizer, allowed)


def step(model, optimizer, guard, factor, batch):
    images = torch.randn(8, 3, generator=torch.Generator().manual_seed(batch))
    loss = (model(images * factor) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    return guard.step({"loss": loss, "loss_id": loss}, batch, IMAGES)


@pytest.mark.parametrize("optim", OPTIMS)
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_bad_batch_changes_nothing(optim, factor):
    """Weights, optimizer and running statistics are those of a run that never saw it, whichever step it is."""
    for bad in (0, 2):
        model, optimizer, guard = make(optim, allowed=1)
        for batch in range(4):
            step(model, optimizer, guard, factor if batch == bad else 1.0, batch)
        other, other_optimizer, other_guard = make(optim, allowed=1)
        for batch in (b for b in range(4) if b != bad):
            step(other, other_optimizer, other_guard, 1.0, batch)
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items()), bad


def test_nothing_changes_after_one_more_than_allowed():
    model, optimizer, guard = make("adam", allowed=0)
    step(model, optimizer, guard, 1.0, 0)
    before = [parameter.clone() for parameter in model.parameters()]
    for batch, factor in ((1, float("nan")), (2, 1.0)):
        step(model, optimizer, guard, factor, batch)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    with pytest.raises(NonFiniteError, match=r"loss_id is nan in epoch 4, batch 2 \(images 0.jpg, .*3.jpg and 2 more"):
        guard.check(epoch=3)


def test_a_gradient_may_be_bad_where_the_loss_is_not():
    model, optimizer, guard = make("adam", allowed=0)
    loss = (model[0].weight - model[0].weight.detach()).abs().sqrt().sum()  # 0, and its slope is not finite
    loss.backward()
    assert not guard.step({"loss": loss}, 0, IMAGES)
    with pytest.raises(NonFiniteError, match="the gradient is nan"):
        guard.check(0)


def test_a_batch_is_not_blamed_for_the_gradient_that_another_spoilt():
    model, optimizer, guard = make("adam", allowed=1)
    for batch, factor in enumerate([float("nan"), 1.0, 1.0, 1.0]):
        loss = (model(torch.randn(8, 3) * factor) ** 2).mean()
        loss.backward()  # the gradients of two batches add up
        guard.step({"loss": loss}, batch, IMAGES, due=batch % 2 == 1)
        if batch % 2:
            optimizer.zero_grad()
    guard.check(0)
    assert guard.skipped == 1


def test_momentum_that_was_there_is_kept():
    model, optimizer, guard = make("sgd", allowed=0)
    step(model, optimizer, guard, 1.0, 0)
    before = copy.deepcopy(optimizer.state_dict()["state"])
    NonFiniteGuard(model, optimizer)
    assert_equal(optimizer.state_dict()["state"], before)


def test_skipped_batches_are_counted_over_checks_and_a_resume():
    model, optimizer, guard = make("adam", allowed=2)
    for batch in range(2):
        step(model, optimizer, guard, float("nan"), batch)
        guard.check(0)
    again = NonFiniteGuard(model, optimizer, allowed=2)
    again.load_state_dict(copy.deepcopy(guard.state_dict()))
    step(model, optimizer, again, float("nan"), 2)
    with pytest.raises(NonFiniteError):
        again.check(0)


@pytest.fixture
def poisoned(monkeypatch):
    """The fourth batch of a run has a part of its loss that is not a number."""
    forward, calls = CrossModalEngine.forward_backward, []

    def forward_backward(self, data):
        criterion = self.criterion

        def poisoned(*args):
            losses = criterion(*args)
            calls.append(1)
            if len(calls) == 4:
                losses["loss_cmcc"] = losses["loss_cmcc"] * float("nan")
                losses["loss"] = losses["loss"] + losses["loss_cmcc"]
            return losses

        self.criterion = poisoned
        try:
            return forward(self, data)
        finally:
            self.criterion = criterion

    monkeypatch.setattr(CrossModalEngine, "forward_backward", forward_backward)


def test_a_run_stops_names_part_epoch_batch_and_images_and_keeps_its_checkpoint(fast_cfg, tmp_path, poisoned):
    with pytest.raises(
        NonFiniteError, match=r"loss_cmcc is nan in epoch 2, batch 1 \(images .*\.jpg, .* lower train.lr"
    ):
        train(fast_cfg)
    assert checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-1")["epoch"] == 1
    assert len(list((tmp_path / "run" / "model").glob("model.pth.tar-*"))) == 1
    log = (tmp_path / "run" / "train.log").read_text()
    assert log[log.index("batch 1, of the images") :].count(".jpg") >= 8


def test_a_run_may_skip_it_and_says_so(fast_cfg, tmp_path, poisoned, capsys):
    engine = train(config.override(fast_cfg, ["train.on_nonfinite", "skip", "train.max_skipped", "1"]))
    assert engine.guard.skipped == 1
    assert "left out, number 1 of at most 1" in capsys.readouterr().out
    weights = checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-2")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())


def test_measures_by_hand():
    features = torch.eye(4).repeat_interleave(2, 0)  # 2 modalities x 2 identities x 2 images
    found = collapse.measures(features, 2)
    assert found["spread"].item() == pytest.approx(0.75)  # all at right angles to each other: 1 - 1 / 4
    assert found["nearest_ids"].item() == pytest.approx(1.0)  # centers (e0 + e2) / 2 and (e1 + e3) / 2
    assert collapse.measures(torch.ones(8, 4), 2)["spread"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"spread": 1e-6}, "all but equal"),
        ({"nearest_ids": 1e-5}, "centers all but coincide"),
        ({"loss_wrt": 0.6932}, "stuck at log 2"),
        ({"spread": 0.5, "nearest_ids": 0.3, "loss_wrt": 0.65}, ""),
        ({}, ""),
    ],
)
def test_signs_of_collapse_are_told(means, told, caplog):
    caplog.set_level(logging.WARNING, "torchreid_rgbir")
    collapse.warn(means, epoch=6)
    assert told in caplog.text and bool(told) == ("in epoch 7" in caplog.text)


def test_a_run_that_collapses_is_told(fast_cfg, capsys, monkeypatch):
    monkeypatch.setattr("tests.tiny.DualResNet.forward", _constant)
    train(config.override(fast_cfg, ["train.max_epoch", "1"]))
    out = capsys.readouterr().out
    assert "features of a batch are all but equal" in out and "stuck at log 2" in out


def _constant(self, images, num_rgb=None, return_featuremaps=False):
    features = self.classifier.weight.mean() + torch.ones(len(images), self.feature_dim)
    return self.classifier(features), features, images[:, :1]


def test_a_score_that_falls_to_chance_is_told(fast_cfg, capsys, monkeypatch):
    # The first is the protocol's check before training, the fourth is of random features.
    scores = iter([0.5, 0.6, 0.05, 0.04, 0.5])

    def score(*args):
        mean = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.5) | {"mAP": next(scores)}
        facts = dict(search="all", shots=1, sampling="agw", num_trials=1, num_queries=1, num_valid_queries=1)
        return [facts | {"num_gallery": 1, "mean": mean, "std": mean, "trials": [mean]}]

    monkeypatch.setattr("torchreid_rgbir.data.SYSUMM01.score", score)
    train(config.override(fast_cfg, ["train.max_epoch", "3"]))
    text = "mAP has fallen from 0.6000 to 0.0500, which random features reach too (0.0400)"
    assert capsys.readouterr().out.count(text) == 1
