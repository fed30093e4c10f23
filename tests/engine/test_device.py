"""A training step that is compiled as one function equals the eager one. bf16 and a missing compiler: test_step.py."""

import logging

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from tests.tiny import tiny_resnet
from torchreid_rgbir.engine.device import compile_works
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.step import TrainingStep
from torchreid_rgbir.losses import LOSSES, MSOLoss
from torchreid_rgbir.models import Batch, Outputs

CPU = torch.device("cpu")
METHOD = {"pef_weights": "random"}  # all four losses


@pytest.fixture
def counter(monkeypatch):
    """On the CPU all of torch.compile but its last stage, whose C++ compiler takes minutes. It counts the graphs."""
    torch._dynamo.reset()
    counter, compile_function = CompileCounterWithBackend("aot_eager"), torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, dynamic, mode: compile_function(function, dynamic=dynamic, backend=counter)
    )
    return counter


class Small(nn.Module):
    """A network whose only maps are the images, so that the C++ compiler has little to do."""

    feature_dim = 8

    def __init__(self, num_classes, loss):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 32, 8), nn.BatchNorm1d(8))
        self.classifier = nn.Linear(8, num_classes)

    def forward(self, images, num_rgb):
        features = self.layers(images)
        return Outputs(self.classifier(features), features, features, images, images)


def batch_of(seed, num_ids=4, num_rgb=0):
    generator = torch.Generator().manual_seed(seed)
    pids = torch.arange(num_ids).repeat_interleave(2).repeat(2)  # K = 2
    images = torch.rand(len(pids), 3, 64, 32, generator=generator)
    return Batch(images, pids, num_rgb or len(pids) // 2, num_ids)


def trained(compiled, batches, amp="off", model=Small, **settings):
    """The losses of each step, the weights and the criterion's."""
    torch.manual_seed(0)
    network = model(6, loss="mso").train()
    criterion = MSOLoss(6, network.feature_dim, **settings)
    guard = NonFiniteGuard(network, torch.optim.SGD(network.parameters(), 0.01, momentum=0.9))
    step = TrainingStep(network, criterion, guard, CPU, amp)
    if compiled:
        step.compile()
    losses = [
        step((batch.images - 0.45) / 0.225, batch, i, len(batches), [""] * len(batch.pids))[0]
        for i, batch in enumerate(batches)
    ]
    guard.check(0)
    return losses, network.state_dict()


def assert_equal(one, other, tolerance):
    for losses, others in zip(one[0], other[0], strict=True):
        torch.testing.assert_close(losses, others, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(one[1], other[1], atol=tolerance, rtol=tolerance)


def test_losses_and_updates_equal_the_eager_ones_in_one_graph(counter):
    batches = [batch_of(seed) for seed in range(3)]
    found, eager = (trained(compiled, batches, model=tiny_resnet, **METHOD) for compiled in (True, False))
    assert counter.frame_count == 1
    assert {"loss_id", "loss_wrt", "loss_pef", "loss_cmcc", "acc", "min_center_dist"} < found[0][0].keys()
    assert_equal(found, eager, 1e-5)


def test_mixed_precision(counter):
    batches = [batch_of(seed) for seed in range(2)]
    found, eager = (trained(compiled, batches, "bf16", tiny_resnet, **METHOD) for compiled in (True, False))
    assert counter.frame_count == 1
    for losses, others in zip(found[0], eager[0], strict=True):
        torch.testing.assert_close(losses["loss"], others["loss"], atol=0.02, rtol=0.02)


def test_a_batch_of_a_different_size_is_compiled_again(counter):
    settings = {"model": tiny_resnet, "weight_cmcc": 0, "weight_pef": 0}
    batches = [batch_of(0), batch_of(1, num_ids=3), batch_of(2, num_rgb=5), batch_of(3), batch_of(4, num_ids=3)]
    found, eager = (trained(compiled, batches, **settings) for compiled in (True, False))
    assert counter.frame_count == 3
    assert_equal(found, eager, 1e-5)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"id", "wrt", "cmcc", "pef"}))
def test_every_other_loss_also_those_that_break_the_graph(counter, name):
    settings = {"weight_id": 1, "weight_wrt": 0, "weight_cmcc": 0, "weight_pef": 0, f"weight_{name}": 1}
    batches = [batch_of(seed) for seed in range(2)]
    found, eager = (trained(compiled, batches, **settings) for compiled in (True, False))
    assert counter.frame_count == 1 or name == "tri"  # torchreid's loss selects distances by a mask
    assert_equal(found, eager, 1e-5)


def test_a_custom_loss_that_reads_values_still_works(counter, monkeypatch):
    def by_value(outputs, batch):
        scale = 2.0 if outputs.features.abs().max().item() > 0 else 1.0
        return scale * outputs.features.square().mean()

    entry = LOSSES["id"]._replace(loss=by_value, options={})
    monkeypatch.setitem(LOSSES, "by_value", entry)
    settings = {"weight_id": 0, "weight_wrt": 0, "weight_cmcc": 0, "weight_pef": 0, "weight_by_value": 1}
    found, eager = (trained(compiled, [batch_of(0)], **settings) for compiled in (True, False))
    assert counter.frame_count > 1
    assert_equal(found, eager, 1e-5)


def test_errors_of_losses_stay_as_they_are(counter):
    with pytest.raises(ValueError, match="the contrastive-center loss compares the RGB half of a batch"):
        trained(True, [batch_of(0, num_rgb=5)], weight_pef=0)


def test_what_torch_cannot_compile_is_one_clear_line(monkeypatch):
    torch._dynamo.reset()

    def refuses(graph, inputs):
        raise RuntimeError("no kernel for this\nand much more")

    compile_function = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: compile_function(function, backend=refuses))
    with pytest.raises(ValueError, match=r"train.compile step: torch cannot .* set train.compile True") as error:
        trained(True, [batch_of(0)], weight_pef=0)
    assert "no kernel for this" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "accumulate", "has_graphs"), [("cpu", 1, False), ("cuda", 1, True), ("cuda", 2, False)]
)
def test_a_gpu_captures_graphs_unless_gradients_outlive_a_step(monkeypatch, caplog, device, accumulate, has_graphs):
    modes, marks = [], []
    monkeypatch.setattr(torch, "compile", lambda function, dynamic, mode: modes.append(mode) or function)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
    model = nn.Linear(1, 1)
    guard = NonFiniteGuard(model, torch.optim.SGD(model.parameters(), 0.1))
    step = TrainingStep(model, None, guard, torch.device(device), accumulate=accumulate)
    losses = {"loss": torch.ones(())}, {"acc": torch.zeros(())}
    monkeypatch.setattr(step, "_forward", lambda *batch: losses)
    with caplog.at_level(logging.WARNING):
        step.compile()
    assert modes == ["reduce-overhead" if has_graphs else None]
    assert ("no CUDA graphs" in caplog.text) == (accumulate > 1)
    found = step._forward(None, None)
    assert found == losses and len(marks) == has_graphs
    assert (found[0]["loss"] is losses[0]["loss"]) != has_graphs  # a copy, which the next step does not overwrite


@pytest.mark.slow
def test_torchs_own_compiler_gives_the_eager_losses_and_updates():
    if not compile_works(CPU):
        pytest.skip("torch.compile does not work here, perhaps because there is no C++ compiler")
    torch._dynamo.reset()
    batches = [batch_of(seed) for seed in range(3)]
    found, eager = (trained(compiled, batches, weight_pef=0) for compiled in (True, False))
    assert_equal(found, eager, 1e-5)
