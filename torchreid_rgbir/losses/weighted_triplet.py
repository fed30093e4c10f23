"""Weighted regularized triplet loss (WRT): Ye et al., Deep Learning for Person Re-identification, TPAMI 2021 (AGW).

Its squared form is the enhanced squared difference of CAJ: Ye et al., Channel Augmented Joint Learning, ICCV 2021.

The formula's softmax is followed, not the authors' code, which subtracts a wrong maximum and adds 1e-6, so that its
negative weights vanish at large distances.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.models.precision import full_precision, unit_length


@full_precision
def weighted_triplet(features: Tensor, pids: Tensor, squared: bool = False) -> Tensor:
    """Softplus of each anchor's weighted mean distance to its positives minus that to its negatives, mean over anchors.

    The weights are a softmax of the distances over the positives and of minus the distances over the negatives, so far
    positives and near negatives count most. No margin.

    Args:
        features: (B, D), as they are to be compared; see `WeightedTripletLoss` for normalized ones.
        pids: (B,) identities. An image is no positive of itself. An anchor without positives, or without negatives,
            counts that mean as 0.
        squared: the difference of the two means is squared and keeps its sign (CAJ), so clear triplets, right or wrong, weigh more.

    Returns:
        The loss, a scalar.
    """
    # Without the matrix product: it is exact for near pairs, and the gradient of a zero distance is 0.
    dist = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    same = pids[:, None] == pids[None, :]  # (B, B)
    positive = same & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    difference = _weighted_mean(dist, dist, positive) - _weighted_mean(dist, -dist, ~same)  # (B,)
    return F.softplus(difference * difference.abs() if squared else difference).mean()


def _weighted_mean(dist: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    # A finite filler keeps the softmax of a row without a true entry finite; the masked distances then make it 0.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=1)  # (B, B)
    return (weights * dist.masked_fill(~mask, 0)).sum(dim=1)  # (B,)


class WeightedTripletLoss(nn.Module):
    """`weighted_triplet` on L2-normalized features, as the method has it.

    Args:
        squared: see there.
    """

    def __init__(self, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, features: Tensor, pids: Tensor) -> Tensor:
        """features: (B, D), of any length; pids: (B,).  Returns a scalar."""
        return weighted_triplet(unit_length(features), pids, self.squared)
