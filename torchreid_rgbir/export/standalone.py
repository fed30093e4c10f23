"""Extracts features of RGB and infrared images with an exported model. This file is in the exported folder and needs no torchreid.

from reid_features import load_onnx, load_torch
model = load_onnx("exported")      # numpy, Pillow, onnxruntime
model = load_torch("exported")     # numpy, Pillow, torch, torchvision, safetensors
features = model(["night/1.jpg", "night/2.jpg"], "ir")     # (2, D) float32
features /= numpy.linalg.norm(features, axis=1, keepdims=True)     # then the similarity is features @ others.T
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_rgbir.data.images import read_image, to_upright_rgb

Stream = Callable[[np.ndarray], np.ndarray]  # maps prepared images (B, 3, H, W) of one modality to features (B, D)


class ExportedModel:
    """Both streams of an exported model.

    Args:
        images: height, width, norm_mean, norm_std and ir_range, as in model.json.
        streams: "rgb" and "ir", each a function of prepared images.
    """

    def __init__(self, images: Mapping, streams: Mapping[str, Stream]):
        self.size = images["width"], images["height"]
        self.mean, self.std = (np.array(images[key], np.float32).reshape(3, 1, 1) for key in ("norm_mean", "norm_std"))
        self.ir_range = images.get("ir_range", "dtype")  # the rule of earlier versions
        self.streams = streams

    def __call__(self, images: Sequence, modality: str, batch_size: int = 32) -> np.ndarray:
        """Extracts features of images.

        Args:
            images: paths or PIL images, at least one.
            modality: "rgb" or "ir", of all images.
            batch_size: images per forward pass.

        Returns:
            (N, D) float32, not normalized.

        Raises:
            ValueError: there is no image, or the modality is unknown.
        """
        if modality not in self.streams or not len(images):
            raise ValueError(f"{len(images)} images of modality {modality!r}: give at least one, of 'rgb' or 'ir'")
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        return np.concatenate([self.streams[modality](np.stack([self.prepare(one) for one in b])) for b in batches])

    def prepare(self, image) -> np.ndarray:
        """Converts a path or a PIL image to the input of the network, (3, H, W) float32."""
        is_open = isinstance(image, Image.Image)
        rgb = to_upright_rgb(image, self.ir_range) if is_open else read_image(str(image), self.ir_range)
        pixels = np.asarray(rgb.resize(self.size, Image.Resampling.BILINEAR), np.float32) / 255
        return (pixels.transpose(2, 0, 1) - self.mean) / self.std


def load_onnx(folder: str | Path, threads: int = 0) -> ExportedModel:
    """Loads the model for ONNX Runtime on the CPU.

    Args:
        folder: the folder with model.json, rgb.onnx and ir.onnx.
        threads: threads per call, 0 = one per core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def stream(path: Path) -> Stream:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda images: session.run(["features"], {"images": images})[0]

    return ExportedModel(
        _about(folder)["images"], {name: stream(Path(folder, f"{name}.onnx")) for name in ("rgb", "ir")}
    )


def load_torch(folder: str | Path, device: str = "cpu") -> ExportedModel:
    """Loads the model for PyTorch.

    Args:
        folder: the folder with model.json and model.safetensors.
        device: "cpu" or "cuda".
    """
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    about, weights = _about(folder), load_file(Path(folder, "model.safetensors"), device)

    def stream(modality: str) -> Stream:
        resnet = _resnet(about["model"]["name"].removeprefix("dual_"))
        for module in resnet.layer4.modules():
            if isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2):
                module.stride = (about["model"]["last_stride"],) * 2
        own = {name.removeprefix(f"layer0.{modality}."): value for name, value in weights.items()}
        resnet.load_state_dict({name: own.get(name, value) for name, value in resnet.state_dict().items()})
        resnet.to(device).eval()
        mean, variance, scale = (weights[f"bottleneck.{name}"] for name in ("running_mean", "running_var", "weight"))

        @torch.inference_mode()
        def features(images: np.ndarray) -> np.ndarray:
            maps = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(torch.from_numpy(images).to(device)))))
            maps = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(maps))))
            pooled = maps.clamp(min=1e-6).pow(weights["gem.p"]).mean(dim=(2, 3)).pow(1 / weights["gem.p"])  # (B, D)
            return F.batch_norm(pooled, mean, variance, scale).cpu().numpy()

        return features

    return ExportedModel(about["images"], {name: stream(name) for name in ("rgb", "ir")})


def knows(name: str) -> bool:
    """Whether `load_torch` can build the backbone with this name."""
    import torchvision

    return name.removeprefix("dual_").removesuffix("_ibn_a") in vars(torchvision.models)


def _resnet(name: str):
    """Builds torchvision's network. In resnet50_ibn_a, half of each block's first normalization in Layers 1-3 is per image."""
    import torch
    import torchvision

    class IBN(torch.nn.Module):
        def __init__(self, num_channels: int):
            super().__init__()
            self.IN = torch.nn.InstanceNorm2d(num_channels // 2, affine=True)
            self.BN = torch.nn.BatchNorm2d(num_channels // 2)

        def forward(self, maps):
            first, second = maps.chunk(2, dim=1)
            return torch.cat([self.IN(first), self.BN(second)], dim=1)

    resnet = getattr(torchvision.models, name.removesuffix("_ibn_a"))()
    if name.endswith("_ibn_a"):
        for block in (*resnet.layer1, *resnet.layer2, *resnet.layer3):
            block.bn1 = IBN(block.bn1.num_features)
    return resnet


def _about(folder: str | Path) -> dict:
    return json.loads(Path(folder, "model.json").read_text(encoding="utf-8"))
