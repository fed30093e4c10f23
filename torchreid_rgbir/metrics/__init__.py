"""Retrieval measures under each data set's protocol, from features of any model."""

from torchreid_rgbir.metrics import llcm, regdb, report, standard, sysu_mm01
from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures, load_features, save_features
from torchreid_rgbir.metrics.rerank import Rerank, re_rank

__all__ = [
    "Rerank",
    "TestFeatures",
    "distances",
    "llcm",
    "load_features",
    "re_rank",
    "regdb",
    "report",
    "save_features",
    "standard",
    "sysu_mm01",
]
