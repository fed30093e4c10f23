"""The method's losses: each a pure function and a thin module, and their sum."""

from torchreid_rgbir.losses.contrastive_center import ContrastiveCenterLoss, contrastive_center
from torchreid_rgbir.losses.hetero_center_triplet import HeteroCenterTripletLoss, hetero_center_triplet
from torchreid_rgbir.losses.mso import MSOLoss
from torchreid_rgbir.losses.perceptual_edge import PerceptualEdgeLoss, perceptual_edge
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.weighted_triplet import WeightedTripletLoss, weighted_triplet

__all__ = [
    "ContrastiveCenterLoss",
    "HeteroCenterTripletLoss",
    "MSOLoss",
    "PerceptualEdgeLoss",
    "WeightedTripletLoss",
    "contrastive_center",
    "edge_map",
    "hetero_center_triplet",
    "perceptual_edge",
    "weighted_triplet",
]
