"""The protocol of data sets that are scored in both directions with the complete gallery: vehicles, RGBNT201 and tracks.

Sources: the authors' code of RGBNT100 and RGBN300 (ttaalle/multi-modal-vehicle-Re-ID), MSVR310 (superlollipop123/
Cross-directional-Center-Network-and-MSVR310), RGBNT201 (ziwang1121/IEEE), HITSZ-VCM (VCM-project233/MITML) and BUPTCampus
(dyhBUPT/BUPTCampus). The authors of the three-spectrum sets compare all spectra at once. Their rule for one spectrum against
another is UPCL's (ZhouZhongao/UPCL, NeurIPS 2025), which applies each set's own rule across spectra.
"""

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB, modality_of
from torchreid_rgbir.protocols.protocol import Protocol, Setting


class BothDirectionsProtocol(Protocol):
    """Both directions, one trial each, with every gallery image of the other modality. CMC counts images.

    A query ignores gallery images of its own identity and camera, although they are of the other modality. In a set
    with several spectra, a camera has the same number in every spectrum. The query thus ignores the image of the same
    moment.

    Args:
        infrared, visible: the names of the modalities in the directions.
    """

    why_ignored = "it has the query's camera number: check camids"

    def __init__(self, infrared: str = "ir", visible: str = "rgb"):
        self.names = {RGB: visible, IR: infrared}

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        first, settings = modality_of(query), []
        for modality in (first, 1 - first):
            direction = f"{self.names[modality]}->{self.names[1 - modality]}"
            trials = self.trials(labels.gallery(1 - modality), 1 - modality)
            settings.append(Setting({"direction": direction}, modality, trials))
        return settings

    def trials(self, gallery: TestFeatures, modality: int) -> list[NDArray[np.int64]]:
        """The rows of a gallery of this modality that are in each trial: there is one trial, with all of them."""
        return [np.arange(len(gallery))]

    @staticmethod
    def ignored(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
        """Gallery images of the query's own identity and camera."""
        return (gallery.pids == pid) & (gallery.camids == camid)


class MSVR310Protocol(BothDirectionsProtocol):
    """As `BothDirectionsProtocol`, with scenes instead of cameras: `camids` contains the scenes, from 0."""

    why_ignored = "it is from the query's scene: camids must contain MSVR310's scenes"


class BUPTCampusProtocol(BothDirectionsProtocol):
    """As `BothDirectionsProtocol`, but a query ignores nothing, as in the authors' code.

    M3-ReID (workingcoder/M3-ReID) ignores the tracks of the query's own identity and camera: `BothDirectionsProtocol` does so.
    """

    ignored = staticmethod(Protocol.ignored)
