"""Batches that are not finite never reach the weights."""

import copy

import pytest
import torch
from torch import nn

from tests.whole_runs import assert_equal
from torchreid_rgbir import config, host
from torchreid_rgbir.engine import CrossModalEngine
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
    finite = guard.record({"loss": loss, "loss_id": loss}, batch, IMAGES)
    guard.step()
    return finite


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
    assert not guard.record({"loss": loss}, 0, IMAGES)
    with pytest.raises(NonFiniteError, match="the gradient is nan"):
        guard.check(0)


def test_a_batch_is_not_blamed_for_the_gradient_that_another_spoilt():
    model, optimizer, guard = make("adam", allowed=1)
    for batch, factor in enumerate([float("nan"), 1.0, 1.0, 1.0]):
        loss = (model(torch.randn(8, 3) * factor) ** 2).mean()
        loss.backward()  # the gradients of two batches add up
        guard.record({"loss": loss}, batch, IMAGES, is_due=batch % 2 == 1)
        if batch % 2:
            guard.step()
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
        NonFiniteError, match=r"loss_cmcc is nan in epoch 2, batch 1 \(images .*\.jpg, .*\. Lower train.lr"
    ):
        train(fast_cfg)
    assert checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-1")["epoch"] == 1
    assert len(list((tmp_path / "run" / "model").glob("model.pth.tar-*"))) == 1
    log = (tmp_path / "run" / "train.log").read_text()
    assert log[log.index("batch 1, with the images") :].count(".jpg") >= 8


def test_a_run_may_skip_it_and_says_so(fast_cfg, tmp_path, poisoned, capsys):
    engine = train(config.override(fast_cfg, ["train.on_nonfinite", "skip", "train.max_skipped", "1"]))
    assert engine.guard.skipped == 1
    assert "the batch was skipped, number 1 of at most 1" in capsys.readouterr().out
    weights = checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-2")["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())
