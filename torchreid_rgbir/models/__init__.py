"""Models: the two-stream networks and their pooling."""

from torchreid_rgbir.models.agw import NonLocal, agw_resnet50
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.dual_resnet import (
    MODELS,
    DualResNet,
    dual_resnet18,
    dual_resnet34,
    dual_resnet50,
    dual_resnet50_ibn_a,
    dual_resnet101,
)
from torchreid_rgbir.models.gem import FixedGeM, GeM, gem
from torchreid_rgbir.models.luckydc import luckydc_resnet50
from torchreid_rgbir.models.mcja import MDA, mcja_resnet50, mcja_resnet50_m12
from torchreid_rgbir.models.two_stream import Stream, TwoStreamNetwork

__all__ = [
    "MDA",
    "MODELS",
    "Batch",
    "DualResNet",
    "FixedGeM",
    "GeM",
    "NonLocal",
    "Outputs",
    "Stream",
    "TwoStreamNetwork",
    "agw_resnet50",
    "dual_resnet18",
    "dual_resnet34",
    "dual_resnet50",
    "dual_resnet50_ibn_a",
    "dual_resnet101",
    "gem",
    "luckydc_resnet50",
    "mcja_resnet50",
    "mcja_resnet50_m12",
]
