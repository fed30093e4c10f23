"""The method's losses: each a pure function and a thin module, and their sum."""

from torchreid_rgbir.losses.contrastive_center import ContrastiveCenterLoss, contrastive_center
from torchreid_rgbir.losses.mso import MSOLoss
from torchreid_rgbir.losses.perceptual_edge import PerceptualEdgeLoss, perceptual_edge
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.weighted_triplet import WeightedTripletLoss, weighted_triplet

__all__ = [
    "ContrastiveCenterLoss",
    "MSOLoss",
    "PerceptualEdgeLoss",
    "WeightedTripletLoss",
    "contrastive_center",
    "edge_map",
    "perceptual_edge",
    "weighted_triplet",
]
