"""The loader that needs no torchreid builds the backbone itself: it must compute what the model computes."""

import json

import pytest
import torch

from torchreid_rgbir.export.standalone import load_torch
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import MODELS

safetensors_torch = pytest.importorskip("safetensors.torch")


@pytest.mark.parametrize("name", ["dual_resnet18", "dual_resnet50_ibn_a"])
def test_a_backbone_without_torchreid(tmp_path, name):
    torch.manual_seed(0)
    model = MODELS[name](3, pretrained=False)
    model(torch.rand(6, 3, 64, 32), 3)  # moves the running means of both streams
    for key, value in model.named_parameters():
        if key.startswith("layer0.ir") or ".bn1." in key:
            value.data.mul_(1 + 0.2 * torch.rand_like(value))
    model.eval()
    safetensors_torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    images = {"height": 64, "width": 32, "norm_mean": [0.5] * 3, "norm_std": [0.2] * 3}
    described = {"name": name, "last_stride": 1}
    (tmp_path / "model.json").write_text(json.dumps({"model": described, "images": images}))
    loaded, batch = load_torch(tmp_path), torch.randn(3, 3, 64, 32)
    for modality, stream in enumerate(NAMES):
        with torch.inference_mode():
            expected = model.stream(modality)(batch)
        torch.testing.assert_close(
            torch.from_numpy(loaded.streams[stream](batch.numpy())), expected, atol=1e-4, rtol=1e-4
        )
