"""The standard protocol, for any data: the complete test set is the gallery (Zheng et al., Market-1501, ICCV 2015)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import NAMES, modality_of
from torchreid_rgbir.protocols.protocol import Protocol, Setting


class StandardProtocol(Protocol):
    """Every image of the query modality against all images of the other; CMC counts images."""

    why_ignored = "it has the query's camera number: give RGB and IR cameras different numbers"

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        modality = modality_of(query)
        gallery = labels.gallery(1 - modality)
        return [
            Setting({"direction": f"{NAMES[modality]}->{NAMES[1 - modality]}"}, modality, [np.arange(len(gallery))])
        ]

    @staticmethod
    def ignored(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
        """Gallery images of the query's own identity and camera, if the camera is known."""
        return (gallery.pids == pid) & (gallery.camids == camid) & (camid > 0)


def report(
    data: TestFeatures, *, query: str = "ir", distance: str = "cosine", rerank: Rerank | None = None
) -> list[dict]:
    """Scores features under the standard protocol: `StandardProtocol().score`.

    Examples:
        >>> features = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.8, 0.2]])  # RGB images of 5 and 6, IR images of 5 and 6
        >>> data = TestFeatures(features, np.array([5, 6, 5, 6]), np.zeros(4, int), np.array([0, 0, 1, 1]))
        >>> [setting] = report(data)
        >>> setting["mean"]["rank1"], setting["mean"]["mAP"]  # 5 is ranked first for its query, 6 is ranked second
        (0.5, 0.75)
    """
    return StandardProtocol().score(data, query=query, distance=distance, rerank=rerank)


skip = StandardProtocol.ignored  # the name in version 0.1
