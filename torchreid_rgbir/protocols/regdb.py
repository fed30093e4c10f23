"""RegDB's protocol (Nguyen et al., "Person Recognition System Based on a Combination of Body Images", Sensors 2017)."""

from typing import Any

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol
from torchreid_rgbir.protocols.protocol import Protocol, Setting

NUM_SPLITS = 10
NAMES = {RGB: "visible", IR: "thermal"}


class RegDBProtocol(BothDirectionsProtocol):
    """Both directions of one split with the complete test set as the gallery; no gallery image is ignored, and CMC counts images.

    The published number is the mean over ten splits, each with a model of its own.

    Args:
        split: 1 to 10, for the record; None if it is not known.

    Raises:
        ValueError: there is no such split.
    """

    ignored = staticmethod(Protocol.ignored)

    def __init__(self, split: int | None = None):
        if split is not None and not 1 <= split <= NUM_SPLITS:
            raise ValueError(f"split {split} does not exist: RegDB has splits 1 to {NUM_SPLITS}")
        super().__init__(NAMES[IR], NAMES[RGB])
        self.split = split

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        settings = super().settings(labels, query, sampling)
        return [setting._replace(name={"split": self.split} | setting.name) for setting in settings]


def report(data: TestFeatures, split: int | None = None, **options: Any) -> list[dict]:
    """Scores features under RegDB's protocol, with the options of `Protocol.score`."""
    return RegDBProtocol(split).score(data, **options)


skip = RegDBProtocol.ignored  # the name in version 0.1
