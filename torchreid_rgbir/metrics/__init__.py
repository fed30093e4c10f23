"""Retrieval measures, computed from the features of any model."""

from torchreid_rgbir.metrics import report
from torchreid_rgbir.metrics.bootstrap import paired_bootstrap
from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures, load_features, save_features
from torchreid_rgbir.metrics.queries import QueryScores, load_queries, save_queries
from torchreid_rgbir.metrics.rerank import Rerank, re_rank

__all__ = [
    "QueryScores",
    "Rerank",
    "TestFeatures",
    "distances",
    "load_features",
    "load_queries",
    "paired_bootstrap",
    "re_rank",
    "report",
    "save_features",
    "save_queries",
]
