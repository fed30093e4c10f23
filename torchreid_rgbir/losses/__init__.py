"""The losses of the method and of its peers: each is a pure function, registered with a weight and options, and their sum."""

import importlib
import pkgutil

from torchreid_rgbir.losses.contrastive_center import ContrastiveCenterLoss, contrastive_center
from torchreid_rgbir.losses.hetero_center_triplet import HeteroCenterTripletLoss, hetero_center_triplet
from torchreid_rgbir.losses.mso import MSOLoss
from torchreid_rgbir.losses.perceptual_edge import PerceptualEdgeLoss, perceptual_edge
from torchreid_rgbir.losses.registry import LOSSES, Option, register_loss
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.weighted_triplet import WeightedTripletLoss, weighted_triplet

__all__ = [
    "LOSSES",
    "ContrastiveCenterLoss",
    "HeteroCenterTripletLoss",
    "MSOLoss",
    "Option",
    "PerceptualEdgeLoss",
    "WeightedTripletLoss",
    "contrastive_center",
    "edge_map",
    "hetero_center_triplet",
    "perceptual_edge",
    "register_loss",
    "weighted_triplet",
]

# Every module of this folder registers its losses when it is imported, so that a new loss touches one file.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
