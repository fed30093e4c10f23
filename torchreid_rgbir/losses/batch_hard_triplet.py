"""Batch-hard triplet loss, torchreid's own: Hermans et al., In Defense of the Triplet Loss for Person Re-ID, 2017."""

import math

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


register_loss("tri", batch_hard_triplet_loss, options={"margin": MARGIN}, help="batch-hard triplet loss, torchreid's")
