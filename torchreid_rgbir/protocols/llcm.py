"""LLCM's protocol (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark", CVPR 2023)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures, check_features
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw
from torchreid_rgbir.protocols.protocol import Setting, modality_of, score_settings

NAMES = {RGB: "vis", IR: "nir"}
CAMERAS = {RGB: (1, 2, 3, 4, 5, 6, 7, 8, 9), IR: (1, 2, 4, 5, 6, 7, 8, 9)}


def report(
    data: TestFeatures, *, query: str = "ir", distance: str = "cosine", rerank: Rerank | None = None
) -> list[dict]:
    """Scores both directions, ten trials each: one gallery image per identity and camera, CMC over identities.

    Args:
        data: every test image of both modalities; where it has no image numbers, the rows of a folder must come in the files' sorted order.
        query: the modality whose direction comes first, "rgb" (vis) or "ir" (nir).
        distance: "cosine" or "euclidean".
        rerank: adds each direction once more with k-reciprocal re-ranking among the queries and the trial's whole gallery.

    Returns:
        The settings' dicts as in results.json; measures are fractions.

    Raises:
        ValueError: bad input, or no query has a match.
    """
    first = modality_of(query)
    data = check_features(data)
    _check_cameras(data)
    check_numbers(data)
    results = []
    for modality in (first, 1 - first):
        queries, gallery = data.of(modality), data.of(1 - modality)
        name = {"direction": f"{NAMES[modality]}->{NAMES[1 - modality]}"}
        setting = Setting(name, draw_agw(gallery, CAMERAS[1 - modality]))
        results += score_settings(queries, gallery, [setting], skip, True, distance, rerank)
    return sorted(results, key=lambda result: "rerank" in result)


def skip(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
    """The gallery images of the query's own identity and camera."""
    return (gallery.pids == pid) & (gallery.camids == camid)


def _check_cameras(data: TestFeatures) -> None:
    for modality, camids in CAMERAS.items():
        unknown = (data.modalities == modality) & ~np.isin(data.camids, camids)
        if unknown.any():
            row = int(np.argmax(unknown))
            raise ValueError(
                f"camids: row {row} is {data.camids[row]}, LLCM's {NAMES[modality]} cameras are {', '.join(map(str, camids))}"
            )
