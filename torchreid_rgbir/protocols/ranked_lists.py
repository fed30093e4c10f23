"""Ranked lists: a few queries with their best gallery images, for figures and reports."""

from typing import NamedTuple

import numpy as np

from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.ranking import Ignored
from torchreid_rgbir.metrics.tracks import mean_of_tracks
from torchreid_rgbir.modality import modality_of
from torchreid_rgbir.protocols.galleries import draw_agw


class RankedImage(NamedTuple):
    """A gallery image at its place in a ranked list."""

    impath: str
    is_correct: bool
    distance: float  # to the query


def ranked_lists(
    features: TestFeatures,
    query: str,
    ignored: Ignored,
    distance: str = "cosine",
    topk: int = 10,
    num_queries: int = 10,
) -> list[tuple[str, list[RankedImage]]]:
    """Ranks a gallery for a few queries. The gallery has one image of each identity and camera (AGW's first draw).

    Args:
        features: the features of test images, with paths.
        query, distance: as in `Protocol.score`.
        ignored: the protocol's `ignored`.
        topk: the largest length of a list.
        num_queries: the largest number of queries; they are spread evenly over all of them.

    Returns:
        For each query its path and its list, the nearest image first.

    Raises:
        ValueError: the features have no paths.
    """
    if features.paths is None:
        raise ValueError("the features have no paths, so there are no images to show")
    modality = modality_of(query)
    features = mean_of_tracks(features.without_junk())
    queries, gallery = features.queries(modality), features.gallery(1 - modality)
    gallery = gallery.take(draw_agw(gallery, np.unique(gallery.camids).tolist())[0])
    chosen = queries.take(np.unique(np.linspace(0, len(queries) - 1, num_queries).round().astype(int)))
    dist = distances(chosen.features, gallery.features, distance)  # (num_queries, G)
    query_paths, gallery_paths = np.asarray(chosen.paths).tolist(), np.asarray(gallery.paths).tolist()
    lists = []
    for row, (impath, pid, camid) in enumerate(zip(query_paths, chosen.pids, chosen.camids, strict=True)):
        valid = np.flatnonzero(~ignored(pid, camid, gallery))
        best = valid[np.argsort(dist[row, valid], kind="stable")[:topk]]
        matches = [RankedImage(gallery_paths[i], bool(gallery.pids[i] == pid), float(dist[row, i])) for i in best]
        lists.append((impath, matches))
    return lists
