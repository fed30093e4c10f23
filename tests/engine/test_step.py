"""One training step: precision, accumulation, averaged weights, compilation."""

import contextlib
import copy
import logging
import math

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from torchreid_rgbir import config, host
from torchreid_rgbir.engine import device as device_module
from torchreid_rgbir.engine.device import autocast_dtype, compile_works
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.step import TrainingStep, prepare
from torchreid_rgbir.models import Batch, Outputs
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train

CPU = torch.device("cpu")


class Net(nn.Module):
    """A tiny model whose only feature is also its only class score."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, images, num_rgb=None):
        features = self.layers(images)
        return Outputs(logits=features, features=features, pooled=features, maps=images, featuremaps=images)


def net(seed=0):
    return Net(seed)


def square(outputs, batch, factor=1.0):
    loss = outputs.features.square().mean() * factor
    return {"loss": loss, "loss_id": loss}


def batches(num, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 3, generator=generator) for _ in range(num)]


def step_of(model, optimizer=None, criterion=square, allowed=0, **options):
    guard = NonFiniteGuard(model, optimizer or torch.optim.SGD(model.parameters(), 0.1), allowed)
    return TrainingStep(model, criterion, guard, CPU, **options)


def run(step, images, batch_idx, num_batches):
    batch = Batch(images, torch.zeros(8, dtype=torch.long), num_rgb=4, num_ids=2)
    return step(images, batch, batch_idx, num_batches, ["a.jpg"])


def losses_of(model, data):
    return [model(images).features.square().mean() for images in data]


@pytest.mark.parametrize(("accumulate", "num_batches"), [(1, 3), (2, 4), (3, 4), (5, 4)])
def test_a_step_has_the_mean_gradient_of_its_batches(accumulate, num_batches):
    ours, theirs = net(), net()
    data = batches(num_batches)
    step = step_of(ours, accumulate=accumulate)
    for i, images in enumerate(data):
        run(step, images, i, num_batches)
        assert all(p.grad is None for p in ours.parameters()) == step.is_due(i, num_batches)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
    for start in range(0, num_batches, accumulate):
        optimizer.zero_grad()
        torch.stack(losses_of(theirs, data[start : start + accumulate])).mean().backward()
        optimizer.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_averaged_weights_are_the_running_mean():
    model = net()
    step = step_of(model, ema=0.8)
    expected = None
    for i, images in enumerate(batches(5)):
        run(step, images, i, 5)
        now = {name: value.clone().double() for name, value in model.state_dict().items()}
        expected = {name: 0.8 * expected[name] + 0.2 * now[name] for name in now} if expected else now
    for name, value in step.eval_model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], atol=1e-6, rtol=1e-5)
            assert name == "layers.0.bias" or not torch.equal(
                value, model.state_dict()[name]
            )  # normalization takes that bias out again
    averaged = step.eval_model
    assert not averaged.training and not any(p.requires_grad and p.grad is not None for p in averaged.parameters())


@pytest.mark.parametrize("allowed", [0, 5])
def test_a_bad_batch_spoils_the_step_that_it_would_have_been_part_of(allowed):
    model = net()
    factors = iter([1, 1, math.nan, 1, 1, 1])
    criterion = lambda outputs, batch: square(outputs, batch, next(factors))  # noqa: E731
    step = step_of(model, criterion=criterion, allowed=allowed, accumulate=2)
    weights = []
    for i, images in enumerate(batches(6)):
        _, finite = run(step, images, i, 6)
        assert bool(finite) == (i not in (2, 3))  # the accumulated gradients stay bad until the step
        weights.append(model.layers[0].weight.detach().clone())
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[3])
    assert torch.equal(weights[3], weights[5]) == (allowed == 0)
    with pytest.raises(ValueError, match="batch 3") if not allowed else contextlib.nullcontext():
        step.guard.check(0)


def test_the_scaler_answers_an_overflow_of_scaled_gradients():
    """As with fp16 on a GPU, with a scaler on the CPU."""
    model = net()
    step = step_of(model)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=1e38, growth_interval=1)
    weight = model.layers[0].weight
    before = weight.detach().clone()
    (images,) = batches(1)
    for i in range(3):
        run(step, images * 1e3, i, 9)
        assert torch.equal(weight, before)
        assert step.scaler.get_scale() == pytest.approx(1e38 / 2 ** (i + 1))
    step.guard.check(0)  # nothing to report
    step.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    other = copy.deepcopy(model)
    expected = before - 0.1 * torch.autograd.grad(losses_of(other, [images])[0], other.layers[0].weight)[0]
    run(step, images, 0, 1)
    torch.testing.assert_close(weight, expected)


def test_a_gradient_that_stays_non_finite_at_every_scale_is_reported():
    model = net()
    infinite = lambda outputs, batch: {"loss": (outputs.features * 0).sum().sqrt()}  # noqa: E731  its slope is infinite
    step = step_of(model, criterion=infinite)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = model.layers[0].weight.detach().clone()
    (images,) = batches(1)
    for i in range(5):  # at scales of 4, 2, 1, ...
        run(step, images, i, 9)
        if i < 2:
            step.guard.check(0)
    assert torch.equal(model.layers[0].weight, before)
    with pytest.raises(ValueError, match="the gradient is nan in epoch 1, batch 3"):
        step.guard.check(0)


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_a_saved_state_continues_as_if_nothing_had_happened(ema):
    def make(seed):
        model = net(seed)
        return model, step_of(model, ema=ema)

    model, step = make(0)
    for i, images in enumerate(batches(3)):
        run(step, images, i, 6)
    saved = copy.deepcopy({"state_dict": step.eval_model.state_dict(), "update": step.state_dict()})
    again, step_again = make(5)
    again.load_state_dict(saved["state_dict"])
    step_again.load_state_dict(saved["update"])
    for i, images in enumerate(batches(3, seed=2), start=3):
        for one in (step, step_again):
            run(one, images, i, 6)
    for network, other in ((model, again), (step.eval_model, step_again.eval_model)):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_test_uses_the_averaged_weights_and_the_checkpoint_holds_them(tiny_cfg, tmp_path):
    engine = train(config.override(tiny_cfg, ["train.ema", "0.5", "train.max_epoch", "1"]))
    state = torch.load(tmp_path / "run" / "model" / "model.pth.tar-1", weights_only=True)
    averaged, trained = engine.eval_model.state_dict(), engine.model.state_dict()
    name = "layer1.0.conv1.weight"
    assert torch.equal(state["state_dict"][name], averaged[name]) and torch.equal(
        state["update"]["trained"][name], trained[name]
    )
    assert not torch.equal(averaged[name], trained[name])
    alone = config.override(tiny_cfg.clone(), ["train.ema", "0.0", "test.evaluate", "True"])
    alone = train(
        config.override(alone, ["model.load_weights", engine.checkpoint_path, "data.save_dir", str(tmp_path / "test")])
    )
    assert alone.results["sysu_mm01"]["settings"] == engine.results["sysu_mm01"]["settings"]


@pytest.mark.parametrize(
    ("machine", "amx", "avx512", "reason"),
    [
        ("x86_64", lambda: True, lambda: True, ""),
        ("x86_64", lambda: False, lambda: True, "has AVX512-BF16 but not AMX, so a step may take longer"),
        ("AMD64", lambda: False, lambda: False, "has no bf16 instructions, so a step may take longer"),
        ("x86_64", None, None, ""),  # a torch without the functions
        ("aarch64", lambda: False, lambda: False, ""),
    ],
)
@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_bf16_on_a_processor_that_is_slow_with_it_is_a_warning(caplog, monkeypatch, machine, amx, avx512, reason, amp):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", avx512, raising=False)
    with caplog.at_level(logging.WARNING):
        assert autocast_dtype(amp, CPU) is torch.bfloat16
        assert autocast_dtype("off", CPU) is None
    warnings = [text for text in caplog.messages if "so a step may take longer" in text]
    assert len(warnings) == bool(reason) and all(reason in text for text in warnings)


def test_precision_falls_back_with_a_warning(caplog, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert [autocast_dtype(amp, CPU) for amp in ("off", "bf16")] == [None, torch.bfloat16] and not caplog.records
    with caplog.at_level(logging.WARNING):
        assert autocast_dtype("fp16", CPU) is torch.bfloat16
    assert "bf16 is used instead" in caplog.text
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old GPU")
    with caplog.at_level(logging.WARNING):
        assert autocast_dtype("bf16", torch.device("cuda")) is torch.float16
    assert "Old GPU has no bfloat16, fp16" in caplog.text
    with pytest.raises(ValueError, match="train.amp is 'half'"):
        autocast_dtype("half", CPU)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains_and_stays_finite(device, tiny_cfg, amp):
    if (amp, device.type) == ("fp16", "cpu"):
        pytest.skip("a CPU computes in bf16 instead")
    words = ["train.amp", amp, "data.transforms", "[]", "sampler.batches_per_epoch", "6", "train.lr", "0.001"]
    engine = build_engine(config.override(tiny_cfg, words))
    seen = set()
    engine.model.layer4.register_forward_hook(lambda module, args, output: seen.add(("maps", output.dtype)))
    engine.model.gem.register_forward_hook(lambda module, args, output: seen.add(("pooled", output.dtype)))
    engine.criterion.loss_pef.vgg.first.register_forward_hook(lambda module, args, out: seen.add(("vgg", out.dtype)))
    engine.set_model_mode("train")
    data, losses = next(iter(engine.train_loader)), []
    for engine.batch_idx in range(6):
        losses.append(engine.forward_backward(data)[0])
        assert all(value.dtype == torch.float32 for name, value in losses[-1].items() if name.startswith("loss"))
    half = autocast_dtype(amp, device)
    assert seen == {("maps", half), ("vgg", half), ("pooled", torch.float32)}
    assert engine.step.scaler.is_enabled() == (amp == "fp16" and device.type == "cuda")
    assert all(math.isfinite(value.item()) for found in losses for value in found.values())
    assert losses[-1]["loss_id"] < losses[0]["loss_id"]
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in engine.model.parameters())


def test_a_device_without_a_compiler_trains_uncompiled(caplog, monkeypatch, tiny_cfg):
    def broken(function):
        raise RuntimeError("no compiler here\nand much more")

    monkeypatch.setattr(device_module.torch, "compile", broken)
    with caplog.at_level(logging.WARNING):
        assert not compile_works(CPU)
        engine = build_engine(config.override(tiny_cfg, ["train.compile", "True"]))
    assert "(no compiler here), the model is not compiled" in caplog.text
    engine.set_model_mode("train")
    engine.batch_idx = 0
    engine.forward_backward(next(iter(engine.train_loader)))


def test_compiled_and_not_agree_also_on_the_smaller_last_batch(device, tiny_cfg, monkeypatch):
    compile_function = torch.compile
    # On the CPU everything of torch.compile but the last stage, whose C++ compiler takes a minute.
    backend = "inductor" if device.type == "cuda" else "aot_eager"
    counter = CompileCounterWithBackend(backend)
    monkeypatch.setattr(torch, "compile", lambda function: compile_function(function, backend=counter))
    found = []
    for compiled in ("False", "True"):
        host.utils.set_random_seed(1)
        engine = build_engine(config.override(tiny_cfg.clone(), ["train.compile", compiled, "test.batch_size", "7"]))
        engine.set_model_mode("train")
        engine.batch_idx = 0
        losses, _ = engine.forward_backward(next(iter(engine.train_loader)))
        engine.set_model_mode("eval")
        loaders = engine.test_loader["sysu_mm01"]
        assert len(loaders["query"].dataset) % 7
        features = engine.extract([loaders["query"], loaders["gallery"]]).features
        found.append((losses, torch.from_numpy(features), set(engine.model.state_dict())))
    (losses, features, names), (losses_compiled, features_compiled, names_compiled) = found
    assert names == names_compiled
    # One for training, one for each modality's test, one more for batches of any size.
    assert counter.frame_count == 4
    engine.extract([loaders["query"], loaders["gallery"]])
    engine.set_model_mode("train")
    engine.forward_backward(next(iter(engine.train_loader)))
    assert counter.frame_count == 4
    tolerance = 1e-2 if device.type == "cuda" else 1e-4  # kernels that add in another order
    for name in losses.keys() - {"acc"}:  # which a rounding can tip
        torch.testing.assert_close(losses_compiled[name], losses[name], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(features_compiled, features, atol=1e-2, rtol=1e-2)


class Waits(TorchDispatchMode):
    """Names the operations that read a tensor's value: on a GPU those wait for it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select", "equal"):
            self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_step_with_everything_on_reads_nothing_back():
    model = net()
    step = step_of(model, host.optim.build_optimizer(model, optim="adam"), amp="bf16", accumulate=2, ema=0.9)
    with Waits() as guard:
        for i, images in enumerate(batches(4)):
            run(step, images, i, 4)
    assert guard.seen == [] and step.ema.num_averaged == 2


def test_a_batch_with_more_rgb_images_than_ir_images():
    """As in CAJ: two views of each RGB image."""
    model = net()
    images = batches(1)[0]
    batch = Batch(images, torch.tensor([0, 0, 0, 0, 1, 1, 0, 1]), num_rgb=6, num_ids=2)
    losses, finite = step_of(model)(images, batch, 0, 1, ["a.jpg"])
    assert finite and "feature_variance" in losses and "min_center_dist" not in losses


def test_each_rgb_image_twice(tiny_cfg):
    """CAJ's two views: 8 + 8 loaded rows become 16 + 8, with their identities, and losses of aligned halves refuse them."""
    words = ["data.transforms_rgb2", "[caj_exchange]", "sampler.name", "agw", "loss.mso.weight_cmcc", "0"]
    words += ["train.batch_size", "16", "sampler.num_instances", "2"]
    engine = build_engine(config.override(tiny_cfg.clone(), words))
    engine.set_model_mode("train")
    engine.batch_idx = 0
    data = next(iter(engine.train_loader))
    batch, inputs = prepare(engine.datamanager, data, CPU, epoch=0, batch_idx=0)
    assert (len(data["pid"]), batch.num_rgb, batch.num_ids) == (16, 16, 4) and len(batch.images) == len(inputs) == 24
    assert batch.pids.tolist() == [*data["pid"][:8].tolist() * 2, *data["pid"][8:].tolist()]
    losses, finite = engine.forward_backward(data)
    assert finite and losses["loss"] > 0
    engine = build_engine(config.override(tiny_cfg.clone(), [*words, "loss.mso.weight_cmcc", "1"]))
    engine.set_model_mode("train")
    engine.batch_idx = 0
    with pytest.raises(ValueError, match="contrastive-center loss compares .* got 16 RGB images and 8 IR images"):
        engine.forward_backward(data)
