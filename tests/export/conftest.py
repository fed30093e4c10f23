import pytest
import torch

from torchreid_rgbir.cli import main
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import dual_resnet18


@pytest.fixture(scope="session")
def weights(tmp_path_factory, sysu_root):
    """A checkpoint as `train` writes it, of a network whose streams and normalizations differ from their initial state."""
    torch.manual_seed(0)
    model = dual_resnet18(5, pretrained=False, last_stride=2)
    model(torch.rand(8, 3, 64, 32), 3)  # training mode: moves the running means of both streams
    for name, value in model.named_parameters():
        if name.startswith("layer0.ir") or name in ("gem.p", "bottleneck.weight"):
            value.data.mul_(1 + 0.2 * torch.rand_like(value))
    images = {"height": 64, "width": 32, "norm_mean": [0.4, 0.5, 0.6], "norm_std": [0.2, 0.3, 0.25]}
    described = {"name": "dual_resnet18", "num_classes": 5, "last_stride": 2}
    about = {"model": described, "images": images, "config": f"data: {{root: {sysu_root}}}", "versions": {"torch": "2"}}
    path = tmp_path_factory.mktemp("run") / "model.pth.tar-1"
    checkpoint.save({"state_dict": model.state_dict(), "about": about}, path)
    return path


@pytest.fixture(scope="session")
def exported(weights, tmp_path_factory):
    """What the command wrote of it, without a look at its output."""
    for module in ("onnx", "onnxscript", "onnxruntime", "safetensors"):
        pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("export") / "exported"
    assert main(["export", "--weights", str(weights), "--out", str(folder)]) == 0
    return folder
