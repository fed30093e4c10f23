"""Models: the two-stream ResNets and their pooling."""

from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.dual_resnet import (
    MODELS,
    DualResNet,
    Stream,
    dual_resnet18,
    dual_resnet34,
    dual_resnet50,
    dual_resnet50_ibn_a,
    dual_resnet101,
)
from torchreid_rgbir.models.gem import GeM, gem

__all__ = [
    "MODELS",
    "Batch",
    "DualResNet",
    "GeM",
    "Outputs",
    "Stream",
    "dual_resnet18",
    "dual_resnet34",
    "dual_resnet50",
    "dual_resnet50_ibn_a",
    "dual_resnet101",
    "gem",
]
