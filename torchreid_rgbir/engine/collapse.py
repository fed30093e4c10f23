"""Signs that training has collapsed: all images look alike to the model, so no loss can tell them apart any more."""

import logging
import math

import torch
from torch import Tensor

from torchreid_rgbir.models.precision import unit_length

logger = logging.getLogger(__name__)

MEASURES = ("spread", "nearest_ids")
MIN_SPREAD = 1e-4
MIN_NEAREST = 1e-3
LOG_2 = math.log(2)  # the weighted triplet loss of images that are all alike
CHANCE_FACTOR = 1.5  # a score that is no more than this many times chance is no better than chance


@torch.no_grad()
def measures(features: Tensor, num_ids: int) -> dict[str, Tensor]:
    """How far apart a batch's features are; on their device.

    Args:
        features: (2PK, D) in the batch's layout.
        num_ids: P.

    Returns:
        'spread': mean squared distance of the unit-length features to their mean, in [0, 1]; 'nearest_ids': the smallest distance of two
        identities' centers, which the contrastive-center loss compares with (and its form `ratio` divides by), in [0, 2].
    """
    unit = unit_length(features)
    centers = unit.view(2, num_ids, -1, unit.shape[1]).mean(dim=(0, 2))  # (P, D)
    return {"spread": 1 - unit.mean(0).square().sum(), "nearest_ids": torch.pdist(centers).min()}


def warn(means: dict[str, float], epoch: int) -> None:
    """Logs a warning for each sign of collapse in an epoch's means.

    Args:
        means: the losses and `measures`; not all need be there.
        epoch: from 0.
    """
    signs = []
    if means.get("spread", 1.0) < MIN_SPREAD:
        signs.append(f"the features of a batch are all but equal (spread {means['spread']:.1e})")
    if means.get("nearest_ids", 1.0) < MIN_NEAREST:
        signs.append(f"two identities' centers all but coincide (distance {means['nearest_ids']:.1e})")
    if abs(means.get("loss_wrt", 0.0) - LOG_2) < 1e-3:
        signs.append("loss_wrt is stuck at log 2, as of images that are all alike")
    for sign in signs:
        logger.warning("collapse? in epoch %d %s: lower train.lr or lengthen train.warmup_epoch", epoch + 1, sign)


def warn_of_chance(mAP: float, best: float, chance: float) -> None:
    """Logs a warning when a score that was better is at chance now.  All fractions; chance: of random features."""
    if mAP <= CHANCE_FACTOR * chance < best:
        logger.warning(
            "collapse? mAP has fallen from %.4f to %.4f, which random features reach too (%.4f)", best, mAP, chance
        )
