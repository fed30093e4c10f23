"""Training on the device: what it has in common with the CPU, and what only a GPU can get wrong."""

import contextlib
import itertools

import numpy as np
import pytest
import torch

from tests.whole_runs import send_at
from torchreid_rgbir import config, host
from torchreid_rgbir.engine import random_state
from torchreid_rgbir.retrieval import Extractor
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train


def started(cfg, *words):
    """An engine before its first step; the same weights and images every time."""
    host.utils.set_random_seed(cfg.train.seed)
    engine = build_engine(config.override(cfg.clone(), list(words)))
    engine.set_model_mode("train")
    return engine


def losses_of(engine, num_steps):
    """The losses of the first training steps, as numbers."""
    found = []
    for number, data in enumerate(itertools.islice(engine.train_loader, num_steps)):
        engine.batch_idx = number
        found.append(engine.forward_backward(data)[0])
    engine.guard.check(0)
    return [{name: value.item() for name, value in losses.items()} for losses in found]


@pytest.fixture
def on_the_cpu(monkeypatch):
    """Within, there is no GPU."""

    @contextlib.contextmanager
    def hidden():
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            yield

    return hidden


def test_everything_is_on_the_device_and_lies_there_as_it_should(device, tiny_cfg):
    engine = started(tiny_cfg)
    data = next(iter(engine.train_loader))
    assert data["img"].dtype == torch.uint8 and data["img"].is_pinned() == (device.type == "cuda")
    tensors = [*engine.model.state_dict().values(), *engine.criterion.state_dict().values()]
    assert {tensor.device.type for tensor in tensors} == {device.type}
    convolutions = [module for module in engine.model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in convolutions)
    seen = []
    engine.model.layer4.register_forward_hook(lambda module, args, maps: seen.append(maps))
    losses_of(engine, 1)
    assert seen[0].device.type == device.type and seen[0].is_contiguous(memory_format=torch.channels_last)


def test_the_losses_and_weights_are_those_of_the_cpu(device, tiny_cfg, on_the_cpu):
    # Adam would make a step of full length of a gradient that is rounding alone.
    words = ["train.optim", "sgd", "train.lr", "0.001", "data.transforms", "[pad_crop, random_flip, channel_erase]"]
    engine = started(tiny_cfg, *words)
    found = losses_of(engine, 3)
    with on_the_cpu():
        reference = started(tiny_cfg, *words)
        expected = losses_of(reference, 3)
    assert len(found) == 3 and found[0]["loss"] != found[2]["loss"]
    for ours, theirs in zip(found, expected, strict=True):
        del ours["acc"], theirs["acc"]  # which a rounding can tip
        assert ours == pytest.approx(theirs, rel=1e-2, abs=1e-3)
    for ours, theirs in zip(engine.model.parameters(), reference.model.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_a_step_waits_for_nothing(device, tiny_cfg, amp):
    amp = amp if device.type == "cuda" else "off"  # a CPU may take seconds a step in half precision
    engine = started(tiny_cfg, "train.amp", amp, "train.accumulate", "2", "train.ema", "0.9")
    data = next(iter(engine.train_loader))
    for engine.batch_idx in range(2):  # what is made once may wait
        engine.forward_backward(data)
    watch = torch.cuda.set_sync_debug_mode if device.type == "cuda" else lambda mode: None
    weights = engine.model.classifier.weight.detach().clone()
    watch("error")
    try:
        for engine.batch_idx in range(2):
            engine.forward_backward(data)
    finally:
        watch("default")
    assert not torch.equal(weights, engine.model.classifier.weight)


@pytest.mark.parametrize("words", [[], ["train.amp", "fp16", "train.ema", "0.9"]], ids=["plain", "fp16"])
def test_a_stopped_run_goes_on_and_is_used_anywhere(device, fast_cfg, tmp_path, monkeypatch, on_the_cpu, words):
    """Stopped in the second epoch; what it ends with serves the device and the CPU alike."""
    whole = train(config.override(fast_cfg.clone(), ["data.save_dir", str(tmp_path / "whole"), *words]))
    cfg = config.override(fast_cfg, ["data.save_dir", str(tmp_path / "stopped"), "model.resume", "auto", *words])
    with monkeypatch.context() as patch:
        send_at(patch, "forward_backward", 4)
        with pytest.raises(SystemExit):
            train(cfg)
    resumed = train(cfg)
    for ours, theirs in zip(resumed.eval_model.parameters(), whole.eval_model.parameters(), strict=True):
        assert ours.device.type == device.type
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)

    words = ["test.evaluate", "True", "model.load_weights", resumed.checkpoint_path, "model.resume", ""]
    expected = resumed.features["sysu_mm01"].features
    assert not np.allclose(expected, expected[0], atol=1e-2)
    for name, there in (("device", contextlib.nullcontext()), ("cpu", on_the_cpu())):
        with there:
            again = train(config.override(cfg.clone(), [*words, "data.save_dir", str(tmp_path / name)]))
        np.testing.assert_allclose(again.features["sysu_mm01"].features, expected, rtol=1e-2, atol=1e-2)


def test_the_random_state_of_the_device_is_kept(device):
    state = random_state.state_dict()
    drawn = torch.rand(3, device=device)
    assert not torch.equal(torch.rand(3, device=device), drawn)
    random_state.load_state_dict(state)
    assert torch.equal(torch.rand(3, device=device), drawn)


def test_a_model_gives_the_features_of_the_cpu(device, fast_cfg, sysu_root, on_the_cpu):
    engine = train(config.override(fast_cfg, ["train.max_epoch", "1"]))
    image = next(sysu_root.rglob("cam1/*/*.jpg"))
    extractor = Extractor.load(engine.checkpoint_path)
    assert extractor.device.type == device.type
    with on_the_cpu():
        expected = Extractor.load(engine.checkpoint_path)
    assert expected.fingerprint == extractor.fingerprint
    np.testing.assert_allclose(extractor(image, "rgb"), expected(image, "rgb"), atol=1e-3)
    half = Extractor.load(engine.checkpoint_path, amp=True)(image, "rgb")
    assert (half * expected(image, "rgb")).sum() > 0.99
