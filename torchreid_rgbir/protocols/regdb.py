"""RegDB's protocol (Nguyen et al., "Person Recognition System Based on a Combination of Body Images", Sensors 2017)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures, check_features
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.protocol import Setting, modality_of, score_settings

NUM_SPLITS = 10
NAMES = {RGB: "visible", IR: "thermal"}


def report(
    data: TestFeatures,
    split: int | None = None,
    *,
    query: str = "ir",
    distance: str = "cosine",
    rerank: Rerank | None = None,
) -> list[dict]:
    """Scores both directions of one split; the published number is the mean over ten splits, each with a model of its own.

    Args:
        data: every test image of both modalities.
        split: 1 to 10, for the record; None where it is not known.
        query: the modality whose direction comes first, "rgb" (visible) or "ir" (thermal).
        distance: "cosine" or "euclidean".
        rerank: adds each direction once more with k-reciprocal re-ranking.

    Returns:
        The settings' dicts as in results.json; measures are fractions.

    Raises:
        ValueError: bad input, or no query has a match.
    """
    if split is not None and not 1 <= split <= NUM_SPLITS:
        raise ValueError(f"split {split} does not exist: RegDB has splits 1 to {NUM_SPLITS}")
    first = modality_of(query)
    data = check_features(data)
    results = []
    for modality in (first, 1 - first):
        queries, gallery = data.of(modality), data.of(1 - modality)
        name = {"split": split, "direction": f"{NAMES[modality]}->{NAMES[1 - modality]}"}
        setting = Setting(name, [np.arange(len(gallery))])
        results += score_settings(queries, gallery, [setting], skip, False, distance, rerank)
    return sorted(results, key=lambda result: "rerank" in result)


def skip(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
    return np.zeros(len(gallery), bool)
