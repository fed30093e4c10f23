"""Weighted regularized triplet loss (WRT): Ye et al., Deep Learning for Person Re-identification, TPAMI 2021 (AGW).

Its squared form is the enhanced squared difference of CAJ: Ye et al., Channel Augmented Joint Learning, ICCV 2021.

This module follows the formula's softmax and not the authors' code. Their code subtracts a wrong maximum and adds 1e-6, so
that its negative weights vanish at large distances.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.registry import register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision, unit_length


@full_precision
def weighted_triplet(features: Tensor, pids: Tensor, squared: bool = False) -> Tensor:
    """The mean over anchors of softplus(weighted mean distance to positives - weighted mean distance to negatives).

    The weights are a softmax of the distances over the positives, and of the negated distances over the negatives. So far
    positives and near negatives count most. There is no margin.

    Args:
        features: (B, D), as they are to be compared.
        pids: (B,) identities. An image is not its own positive. An anchor without positives, or without negatives, counts
            that mean as 0.
        squared: square the difference of the two means and keep its sign (CAJ), so that clear triplets count more.

    Returns:
        The loss, a scalar.
    """
    # Without the matrix product, cdist is exact for near pairs, and the gradient of a zero distance is 0.
    dist = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    same = pids[:, None] == pids[None, :]  # (B, B)
    positive = same & ~torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    difference = _weighted_mean(dist, dist, positive) - _weighted_mean(dist, -dist, ~same)  # (B,)
    return F.softplus(difference * difference.abs() if squared else difference).mean()


def _weighted_mean(dist: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    # A finite filler keeps the softmax finite in a row without a true entry. The masked distances then make the mean 0.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=1)  # (B, B)
    return (weights * dist.masked_fill(~mask, 0)).sum(dim=1)  # (B,)


class WeightedTripletLoss(nn.Module):
    """`weighted_triplet` on features of unit length, as in the method.

    Args:
        squared: square the difference of the two means and keep its sign (CAJ).

    Examples:
        >>> loss = WeightedTripletLoss()
        >>> loss(torch.randn(8, 2048), torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])).shape
        torch.Size([])
    """

    def __init__(self, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, features: Tensor, pids: Tensor) -> Tensor:
        """features: (B, D), of any length; pids: (B,).  Returns a scalar."""
        return weighted_triplet(unit_length(features), pids, self.squared)


def weighted_triplet_loss(outputs: Outputs, batch: Batch) -> Tensor:
    """`weighted_triplet` of a batch, on features of unit length."""
    return weighted_triplet(outputs.unit_features, batch.pids)


def squared_weighted_triplet_loss(outputs: Outputs, batch: Batch) -> Tensor:
    """`weighted_triplet` of a batch with CAJ's squared difference, on features of unit length."""
    return weighted_triplet(outputs.unit_features, batch.pids, squared=True)


register_loss("wrt", weighted_triplet_loss, weight=1.0, help="weighted triplet loss")
register_loss("wrt_sq", squared_weighted_triplet_loss, help="weighted triplet loss with CAJ's squared difference")
