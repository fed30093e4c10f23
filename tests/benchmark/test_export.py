import pytest
import torch

from torchreid_rgbir.benchmark.export import onnx_over_eager
from torchreid_rgbir.export import standalone
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import dual_resnet18


class Slow:
    """An exported model that takes as long as PyTorch's, three times over."""

    def __init__(self, model):
        self.streams = {
            name: lambda array, i=i: self.thrice(model.stream(i), array) for i, name in enumerate(("rgb", "ir"))
        }
        self.seen = []

    def thrice(self, stream, array):
        self.seen.append((array.shape, torch.get_num_threads()))
        for _ in range(3):
            stream(torch.from_numpy(array))


def test_the_ratio_is_onnx_over_eager_for_one_image(tmp_path, monkeypatch):
    model = dual_resnet18(3, pretrained=False).eval()
    described = {"name": "dual_resnet18", "num_classes": 3, "last_stride": 1}
    images = {"height": 64, "width": 32, "norm_mean": [0.5] * 3, "norm_std": [0.5] * 3}
    checkpoint.save({"state_dict": model.state_dict(), "about": {"model": described, "images": images}}, tmp_path / "w")
    slow = Slow(model)
    monkeypatch.setattr(standalone, "load_onnx", lambda folder, threads: slow)
    before = torch.get_num_threads()
    measured = onnx_over_eager(tmp_path / "w", tmp_path, rounds=5)
    assert measured["ratios"]["onnx_over_eager"] == pytest.approx(3, rel=0.5)
    low, high = measured["spread"]["onnx_over_eager"]
    assert low <= measured["ratios"]["onnx_over_eager"] <= high
    assert set(slow.seen) == {((1, 3, 64, 32), 1)}
    assert torch.get_num_threads() == before
