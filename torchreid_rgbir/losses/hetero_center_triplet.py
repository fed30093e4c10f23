"""Hetero-center triplet loss: Liu et al., Parameter Sharing Exploration and Hetero-Center Triplet Loss, TMM 2020."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.batch_hard_triplet import MARGIN
from torchreid_rgbir.losses.contrastive_center import modality_centers
from torchreid_rgbir.losses.registry import register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision, unit_length


@full_precision
def hetero_center_triplet(features: Tensor, num_ids: int, margin: float = 0.3) -> Tensor:
    """Compares each modality center with its identity's other center and with the nearest center of other identities.

    The loss is the mean of [margin + d(c, c_other) - min d(c, c_negative)]_+ over the 2P centers, as in the authors'
    code. The paper writes the sum. The negative may be in either modality.

    Args:
        features: (2PK, D) in aligned halves, as they are to be compared.
        num_ids: P, at least 2.
        margin: the negative must be farther away by this distance.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: there are fewer than two identities, or 2P does not divide the batch.
    """
    centers = modality_centers(features, num_ids).flatten(0, 1)  # (2P, D)
    # Without the matrix product, cdist is exact for near pairs, and the gradient of a zero distance is 0.
    dist = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist")  # (2P, 2P)
    ids = torch.arange(num_ids, device=features.device).repeat(2)
    nearest = dist.masked_fill(ids[:, None] == ids[None, :], torch.inf).amin(dim=1)  # (2P,)
    across = dist.diagonal(num_ids).repeat(2)  # (2P,), from RGB to IR and back
    return F.relu(margin + across - nearest).mean()


class HeteroCenterTripletLoss(nn.Module):
    """`hetero_center_triplet` on features of unit length, which retrieval compares.

    Args:
        margin: the negative must be farther away by this distance.
    """

    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, features: Tensor, num_ids: int) -> Tensor:
        """features: (2PK, D) in aligned halves, of any length; num_ids: P.  Returns a scalar."""
        return hetero_center_triplet(unit_length(features), num_ids, self.margin)


def hetero_center_triplet_loss(outputs: Outputs, batch: Batch, margin: float) -> Tensor:
    """`hetero_center_triplet` of a batch, on features of unit length."""
    batch.require_aligned_halves("the hetero-center triplet loss")
    return hetero_center_triplet(outputs.unit_features, batch.num_ids, margin)


register_loss(
    "hctri",
    hetero_center_triplet_loss,
    options={"margin": MARGIN},
    reaches="features",
    help="hetero-center triplet loss",
)
