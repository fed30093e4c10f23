"""Weighted regularized triplet loss (WRT): Ye et al., Deep Learning for Person Re-identification, TPAMI 2021 (AGW).

Its squared form is the enhanced squared difference of CAJ: Ye et al., Channel Augmented Joint Learning, ICCV 2021.

Two forms exist. `formula` is the formula's softmax. `public` is what the authors' code computes
(github.com/mangye16/Cross-Modal-Re-ID-baseline, commit e817a26): its softmax does not subtract the maximum of the negatives
and adds 1e-6 to the denominator, so that the weights of negatives vanish at large distances; an anchor is one of its own
positives; and the squared difference is at most 88.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.registry import Option, register_loss
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


@full_precision
def public_weighted_triplet(features: Tensor, pids: Tensor, squared: bool = False) -> Tensor:
    """The loss as the authors' code computes it. `weighted_triplet` describes the arguments.

    Distances follow from a matrix product, as in their code, so those of near pairs are not exact. Where their code returns
    infinity, at a difference of more than 88 in single precision, this returns the finite value.
    """
    norms = features.square().sum(dim=1, keepdim=True)  # (B, 1)
    dist = torch.addmm(norms + norms.T, features, features.T, alpha=-2).clamp(min=1e-12).sqrt()  # (B, B)
    same = (pids[:, None] == pids[None, :]).to(dist.dtype)  # (B, B), with the anchor itself
    difference = _public_mean(dist, dist, same) - _public_mean(dist, -dist, 1 - same)  # (B,)
    if squared:
        clamped = difference.square().clamp(max=88)
        difference = torch.where(difference > 0, clamped, -clamped)
    return F.softplus(difference, threshold=40).mean()


def _public_mean(dist: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    # Masked scores are 0. Scores of negatives are below 0, so that nothing is subtracted from them.
    scores = scores * mask
    weights = (scores - scores.max(dim=1, keepdim=True).values).exp() * mask  # (B, B)
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-6)
    return (dist * mask * weights).sum(dim=1)  # (B,)


FORMS = {"formula": weighted_triplet, "public": public_weighted_triplet}


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


def weighted_triplet_loss(outputs: Outputs, batch: Batch, form: str, features: str, squared: bool = False) -> Tensor:
    """The loss of a batch, on one of its features.

    Args:
        form: a name in `FORMS`.
        features: "unit" for features after batch normalization of unit length, which retrieval compares, or "pooled" for
            features before it, of any length, as in the authors' code.
        squared: with CAJ's squared difference.
    """
    compared = outputs.unit_features if features == "unit" else outputs.pooled
    return FORMS[form](compared, batch.pids, squared)


def squared_weighted_triplet_loss(outputs: Outputs, batch: Batch, form: str, features: str) -> Tensor:
    """`weighted_triplet_loss` with CAJ's squared difference."""
    return weighted_triplet_loss(outputs, batch, form, features, squared=True)


OPTIONS = {
    "form": Option("formula", tuple(FORMS), help="the formula's softmax, or what the authors' code computes"),
    "features": Option("unit", ("unit", "pooled"), help="of unit length, or before batch normalization"),
}
register_loss(
    "wrt",
    weighted_triplet_loss,
    weight=1.0,
    options=OPTIONS,
    reaches="features",
    help="weighted triplet loss",
)
register_loss(
    "wrt_sq",
    squared_weighted_triplet_loss,
    options=OPTIONS,
    reaches="features",
    help="weighted triplet loss with CAJ's squared difference",
)
