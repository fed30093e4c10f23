"""Batch-hard triplet loss, torchreid's own: Hermans et al., In Defense of the Triplet Loss for Person Re-ID, 2017."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from torchreid_rgbir import host
from torchreid_rgbir.losses.registry import Option, register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision

MARGIN = Option(0.3, (0, math.inf), key="loss.triplet.margin")  # of the hetero-center triplet loss, too


@full_precision
def batch_hard_triplet(features: Tensor, pids: Tensor, margin: float = 0.3) -> Tensor:
    """torchreid's triplet loss with hard mining. It makes a GPU wait.

    Args:
        features: (B, D), as they are to be compared.
        pids: (B,) identities.
        margin: the negative must be farther away than the positive by this distance.

    Returns:
        The loss, a scalar.
    """
    return host.losses.TripletLoss(margin)(features, pids)


def batch_hard_triplet_loss(outputs: Outputs, batch: Batch, margin: float) -> Tensor:
    """`batch_hard_triplet` on features of unit length."""
    return batch_hard_triplet(outputs.unit_features, batch.pids, margin)


def batch_hard_triplet_pooled_loss(outputs: Outputs, batch: Batch, margin: float) -> Tensor:
    """The batch-hard triplet loss on features before batch normalization, which are not scaled to unit length.

    It is that of LuckyDC's baseline (github.com/LuckyDC/RGB-IR-ReID-Baseline). It does not make a GPU wait.
    """
    dist = torch.cdist(outputs.pooled, outputs.pooled)  # (B, B), with a matrix product as in the authors' code
    same = batch.pids[:, None] == batch.pids[None, :]
    farthest = dist.masked_fill(~same, -math.inf).max(dim=1).values  # (B,)
    nearest = dist.masked_fill(same, math.inf).min(dim=1).values
    return F.relu(margin + farthest - nearest).mean()


register_loss(
    "tri",
    batch_hard_triplet_loss,
    options={"margin": MARGIN},
    reaches="features",
    help="batch-hard triplet loss, torchreid's",
)
register_loss(
    "tri_pooled",
    batch_hard_triplet_pooled_loss,
    options={"margin": MARGIN},
    reaches="features",
    help="batch-hard triplet loss on pooled features",
)
