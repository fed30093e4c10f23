"""Helpers for complete and interrupted runs: they interrupt a run, and compare two runs apart from their durations."""

import json
import os
import signal

import torch

from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint


def send_at(monkeypatch, method, call, number=signal.SIGTERM):
    """Makes the process send itself a signal at the `call`-th call (from 1) of an engine's method."""
    original, calls = getattr(CrossModalEngine, method), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    monkeypatch.setattr(CrossModalEngine, method, counted)


def assert_same_run(one, two, epochs=2):
    """Asserts that the last checkpoint, the best one and the results of two runs are equal bit for bit."""
    for name in (f"model.pth.tar-{epochs}", "model-best.pth.tar"):
        assert_equal(*(_state(folder / "model" / name) for folder in (one, two)), name)
    settings = [json.loads((folder / "results.json").read_text())["settings"] for folder in (one, two)]
    assert settings[0] == settings[1]


def assert_equal(one, two, place="state"):
    """Asserts equality bit for bit, through nested dicts and lists."""
    assert type(one) is type(two), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), place
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), place
        for key in one:
            assert_equal(one[key], two[key], f"{place}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), place
        for i, pair in enumerate(zip(one, two, strict=True)):
            assert_equal(*pair, f"{place}[{i}]")
    else:
        assert one == two, place


def _state(path):
    return {key: value for key, value in checkpoint.load(path).items() if key not in ("about", "seconds")}
