"""LLCM's protocol (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark", CVPR 2023)."""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB, modality_of
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw
from torchreid_rgbir.protocols.protocol import Protocol, Setting

NAMES = {RGB: "vis", IR: "nir"}
CAMERAS = {RGB: (1, 2, 3, 4, 5, 6, 7, 8, 9), IR: (1, 2, 4, 5, 6, 7, 8, 9)}


class LLCMProtocol(Protocol):
    """Both directions, ten trials each: the gallery has one image per identity and camera, and CMC counts identities.

    Without image numbers, the rows of a folder must come in the sorted order of its files.
    """

    cmc_over_identities = True
    why_ignored = "it has the query's camera number: check camids"

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        first = modality_of(query)
        _check_cameras(labels)
        check_numbers(labels)
        settings = []
        for modality in (first, 1 - first):
            trials = draw_agw(labels.gallery(1 - modality), CAMERAS[1 - modality])
            settings.append(Setting({"direction": f"{NAMES[modality]}->{NAMES[1 - modality]}"}, modality, trials))
        return settings

    @staticmethod
    def ignored(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
        """Gallery images of the query's own identity and camera."""
        return (gallery.pids == pid) & (gallery.camids == camid)


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
