"""Hetero-center triplet loss: Liu et al., Parameter Sharing Exploration and Hetero-Center Triplet Loss for VT Re-ID, TMM 2020."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.centers import modality_centers
from torchreid_rgbir.models.precision import full_precision, unit_length


@full_precision
def hetero_center_triplet(features: Tensor, num_ids: int, margin: float = 0.3) -> Tensor:
    """Each modality center against the same identity's other one and the nearest center of another identity, in either modality.

    The mean of [margin + d(c, c_other) - min d(c, c_negative)]_+ over the 2P centers, as in the authors' code; the paper writes the sum.

    Args:
        features: (2PK, D) in the batch's layout, as they are to be compared; see `HeteroCenterTripletLoss` for normalized ones.
        num_ids: P, at least 2.
        margin: by which the negative is to be farther away.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: fewer than two identities, or a batch that does not divide by 2P.
    """
    centers = modality_centers(features, num_ids).flatten(0, 1)  # (2P, D)
    # Without the matrix product: it is exact for near pairs, and the gradient of a zero distance is 0.
    dist = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist")  # (2P, 2P)
    ids = torch.arange(num_ids, device=features.device).repeat(2)
    nearest = dist.masked_fill(ids[:, None] == ids[None, :], torch.inf).amin(dim=1)  # (2P,)
    across = dist.diagonal(num_ids).repeat(2)  # (2P,), from RGB to IR and back
    return F.relu(margin + across - nearest).mean()


class HeteroCenterTripletLoss(nn.Module):
    """`hetero_center_triplet` on L2-normalized features, which are what retrieval compares.

    Args:
        margin: see there.
    """

    def __init__(self, margin: float = 0.3) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, features: Tensor, num_ids: int) -> Tensor:
        """features: (2PK, D) in the batch's layout, of any length; num_ids: P.  Returns a scalar."""
        return hetero_center_triplet(unit_length(features), num_ids, self.margin)
