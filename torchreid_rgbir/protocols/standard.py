"""The standard protocol, for any data: the whole test set as gallery, CMC over images (Zheng et al., Market-1501, ICCV 2015)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures, check_features
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.protocols.protocol import Setting, modality_of, score_settings


def report(
    data: TestFeatures, *, query: str = "ir", distance: str = "cosine", rerank: Rerank | None = None
) -> list[dict]:
    """Scores every image of the query modality against all of the other.

    Args:
        data: every test image of both modalities.
        query: the modality that asks, "ir" or "rgb".
        distance: "cosine" or "euclidean".
        rerank: adds a second setting with k-reciprocal re-ranking.

    Returns:
        The settings' dicts as in results.json; measures are fractions.

    Raises:
        ValueError: bad input, or no query has a match.

    Examples:
        >>> features = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.8, 0.2]])  # RGB images of 5 and 6, IR images of 5 and 6
        >>> data = TestFeatures(features, np.array([5, 6, 5, 6]), np.zeros(4, int), np.array([0, 0, 1, 1]))
        >>> [setting] = report(data)
        >>> setting["mean"]["rank1"], setting["mean"]["mAP"]  # 5 is found first, 6 second
        (0.5, 0.75)
    """
    modality = modality_of(query)
    data = check_features(data)
    queries, gallery = data.of(modality), data.of(1 - modality)
    setting = Setting({"direction": f"{NAMES[modality]}->{NAMES[1 - modality]}"}, [np.arange(len(gallery))])
    return score_settings(queries, gallery, [setting], skip, False, distance, rerank)


def skip(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
    """Images of the query's own identity and camera, where the camera is known."""
    return (gallery.pids == pid) & (gallery.camids == camid) & (camid > 0)
