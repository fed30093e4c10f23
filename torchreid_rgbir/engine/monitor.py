"""What an epoch reports: the means of its losses, and warnings when training has collapsed."""

import logging
import math
from typing import Any

import torch
from torch import Tensor

from torchreid_rgbir import distributed
from torchreid_rgbir.models import Batch
from torchreid_rgbir.models.precision import unit_length

logger = logging.getLogger(__name__)

MEASURES = ("feature_variance", "min_center_dist")
MIN_VARIANCE = 1e-4
MIN_CENTER_DIST = 1e-3
LOG_2 = math.log(2)  # the weighted triplet loss when all features are equal
CHANCE_FACTOR = 1.5  # a score up to this many times chance is no better than chance


class RunningMeans:
    """Means of named scalars over an epoch. They stay on their device until they are read."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.sums: Tensor | float = 0.0  # (N,)
        self.count: Tensor | float = 0.0

    def add(self, values: dict[str, Tensor], finite: Tensor) -> None:
        """Adds a batch.

        Args:
            values: scalars, with the same names each time.
            finite: a boolean scalar. A batch that is not finite does not count.
        """
        self.names = list(values)
        stacked = torch.stack([value.float() for value in values.values()])
        stacked = torch.where(finite, stacked, 0.0)
        # The sums of a checkpoint are on the CPU.
        self.sums = _to(self.sums, stacked) + stacked
        self.count = _to(self.count, stacked) + finite.float()

    def read(self) -> dict[str, float]:
        """The means so far, over all processes. They are NaN when no batch counted. Waits for the device."""
        if not self.names:
            return {}
        return dict(zip(self.names, distributed.mean(self.sums / self.count).tolist(), strict=True))  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"names": self.names, "sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.names, self.sums, self.count = state["names"], state["sums"], state["count"]


def _to(value: Tensor | float, other: Tensor) -> Tensor | float:
    return value.to(other.device) if isinstance(value, Tensor) else value


@torch.no_grad()
def collapse_measures(features: Tensor, batch: Batch) -> dict[str, Tensor]:
    """How far apart the features of a batch are. The results stay on their device.

    Each process measures its own images, so that nothing is exchanged at every step. `RunningMeans` averages over the processes.

    Args:
        features: (B, D).
        batch: of these features.

    Returns:
        'feature_variance': the mean squared distance of the unit-length features from their mean, in [0, 1].
        'min_center_dist', of aligned halves with at least two identities: the smallest distance between the centers of two
        identities, in [0, 2]. The contrastive-center loss compares with it, and its form `ratio` divides by it.
    """
    unit = unit_length(features)
    measures = {"feature_variance": 1 - unit.mean(0).square().sum()}
    if batch.has_aligned_halves and batch.num_ids > 1:
        centers = unit.view(2, batch.num_ids, -1, unit.shape[1]).mean(dim=(0, 2))  # (P, D)
        measures["min_center_dist"] = torch.pdist(centers).min()
    return measures


def warn_of_collapse(means: dict[str, float], epoch: int) -> None:
    """Logs a warning for each sign of collapse in an epoch's means of losses and `collapse_measures`.  epoch: from 0."""
    signs = []
    if means.get("feature_variance", 1.0) < MIN_VARIANCE:
        signs.append(f"the features of a batch are almost equal (variance {means['feature_variance']:.1e})")
    if means.get("min_center_dist", 1.0) < MIN_CENTER_DIST:
        signs.append(f"the centers of two identities almost coincide (distance {means['min_center_dist']:.1e})")
    if abs(means.get("loss_wrt", 0.0) - LOG_2) < 1e-3:
        signs.append("loss_wrt stays at log 2, its value when all features are equal")
    for sign in signs:
        logger.warning("collapse? in epoch %d %s: lower train.lr or lengthen train.warmup_epoch", epoch + 1, sign)


def warn_of_chance(mAP: float, best: float, chance: float) -> None:
    """Logs a warning when a score has fallen to chance.  All are fractions; chance is the mAP of random features."""
    if mAP <= CHANCE_FACTOR * chance < best:
        logger.warning(
            "collapse? mAP fell from %.4f to %.4f, which random features reach as well (%.4f)", best, mAP, chance
        )
