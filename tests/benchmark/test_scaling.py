import pytest

from torchreid_rgbir.benchmark import scaling as module
from torchreid_rgbir.benchmark.scaling import scaling


def test_every_size_is_beside_the_smallest(monkeypatch):
    monkeypatch.setattr(module, "SIZES", ((64, 32), (96, 48)))
    monkeypatch.setattr(module, "GALLERIES", (50, 100))
    monkeypatch.setattr(module, "NUM_QUERIES", 10)
    monkeypatch.setattr(module, "DIM", 8)
    measured = scaling(rounds=1, model="dual_resnet18", threads=1)
    steps = [f"step_{size}_{batch}" for size in ("64x32", "96x48") for batch in (16, 32)]
    names = [*steps, "gallery_50", "gallery_100"]
    assert list(measured["medians"]) == names
    medians = measured["medians"]
    for name in names:
        smallest = names[0] if name.startswith("step") else "gallery_50"
        assert measured["ratios"][f"growth_{name}"] == pytest.approx(medians[name] / medians[smallest])
