import math

from torchreid_rgbir.benchmark import stability as module
from torchreid_rgbir.benchmark.stability import stability


def test_first_and_last_steps_are_compared(monkeypatch):
    monkeypatch.setattr(module, "WARMUP", 2)
    measured = stability(num_steps=10)
    medians = measured["medians"]
    assert measured["ratios"]["step_last_over_first"] == medians["step_last"] / medians["step_first"]
    low, high = measured["spread"]["step_last_over_first"]
    assert 0 < low <= measured["ratios"]["step_last_over_first"] <= high < math.inf
    assert all(100e6 < held < 100e9 for held in measured["memory"].values())
