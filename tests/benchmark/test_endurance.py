import math

from torchreid_rgbir.benchmark import endurance as endurance_module
from torchreid_rgbir.benchmark.endurance import endurance


def test_first_and_last_steps_are_compared(monkeypatch):
    monkeypatch.setattr(endurance_module, "WARMUP", 2)
    measured = endurance(num_steps=10)
    medians = measured["medians"]
    assert measured["ratios"]["step_last_over_first"] == medians["step_last"] / medians["step_first"]
    low, high = measured["spread"]["step_last_over_first"]
    assert 0 < low <= measured["ratios"]["step_last_over_first"] <= high < math.inf
    assert all(100e6 < held < 100e9 for held in measured["memory"].values())
