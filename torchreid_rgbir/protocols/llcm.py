"""LLCM's protocol (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark", CVPR 2023)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw
from torchreid_rgbir.protocols.protocol import Setting

NAMES = {RGB: "vis", IR: "nir"}
CAMERAS = {RGB: (1, 2, 3, 4, 5, 6, 7, 8, 9), IR: (1, 2, 4, 5, 6, 7, 8, 9)}


class LLCMProtocol(BothDirectionsProtocol):
    """Both directions, ten trials each: the gallery has one image per identity and camera, and CMC counts identities.

    Without image numbers, the rows of a folder must come in the sorted order of its files.
    """

    cmc_over_identities = True

    def __init__(self) -> None:
        super().__init__(NAMES[IR], NAMES[RGB])

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        _check_cameras(labels)
        check_numbers(labels)
        return super().settings(labels, query, sampling)

    def trials(self, gallery: TestFeatures, modality: int) -> list[NDArray[np.int64]]:
        return draw_agw(gallery, CAMERAS[modality])


report = LLCMProtocol().score
skip = LLCMProtocol.ignored  # the name in version 0.1


def _check_cameras(labels: TestFeatures) -> None:
    for modality, camids in CAMERAS.items():
        unknown = (labels.modalities == modality) & ~np.isin(labels.camids, camids)
        if unknown.any():
            row = int(np.argmax(unknown))
            raise ValueError(
                f"camids: row {row} is {labels.camids[row]}, "
                f"but LLCM's {NAMES[modality]} cameras are {', '.join(map(str, camids))}"
            )
