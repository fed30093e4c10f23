"""Ranked lists: a few queries with their best gallery images, for figures and reports."""

from typing import NamedTuple

import numpy as np

from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.ranking import Skip
from torchreid_rgbir.protocols.galleries import draw_agw
from torchreid_rgbir.protocols.protocol import modality_of


class RankedImage(NamedTuple):
    """A gallery image at its place in a ranked list."""

    impath: str
    is_right: bool
    distance: float  # to the query


def ranked_lists(
    features: TestFeatures, query: str, skip: Skip, distance: str = "cosine", topk: int = 10, num_queries: int = 10
) -> list[tuple[str, list[RankedImage]]]:
    """Ranked lists for a picture: a few queries against one image of each identity and camera (AGW's first draw).

    Args:
        features: of test images, with paths.
        query: "ir" or "rgb".
        skip: the protocol's rule for gallery images that a query passes over.
        distance: "cosine" or "euclidean".
        topk: length of each list; the gallery's size at most.
        num_queries: queries spread evenly over all of them.

    Returns:
        (path of the query, its matches from the best on).

    Raises:
        ValueError: features without paths.
    """
    modality = modality_of(query)
    queries, gallery = features.of(modality), features.of(1 - modality)
    gallery = gallery.take(draw_agw(gallery, np.unique(gallery.camids).tolist())[0])
    chosen = queries.take(np.unique(np.linspace(0, len(queries) - 1, num_queries).round().astype(int)))
    dist = distances(chosen.features, gallery.features, distance)  # (num_queries, G)
    if chosen.paths is None or gallery.paths is None:
        raise ValueError("features without paths: there are no pictures to draw")
    lists = []
    for row, (impath, pid, camid) in enumerate(zip(chosen.paths, chosen.pids, chosen.camids, strict=True)):
        seen = np.flatnonzero(~skip(pid, camid, gallery))
        best = seen[np.argsort(dist[row, seen], kind="stable")[:topk]]
        matches = [RankedImage(str(gallery.paths[i]), bool(gallery.pids[i] == pid), float(dist[row, i])) for i in best]
        lists.append((str(impath), matches))
    return lists
