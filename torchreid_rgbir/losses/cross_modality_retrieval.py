"""Cross-modality retrieval loss (CMR) of MCJA: Liang et al., Bridging the Gap, TCSVT 2024.

The soft rank is that of Blondel et al., Fast Differentiable Sorting and Ranking, ICML 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from torchreid_rgbir.losses.registry import register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision, unit_length

STRENGTH = 0.5  # of the soft rank's regularization, as in the authors' code


@full_precision
def cross_modality_retrieval(features: Tensor, pids: Tensor, num_rgb: int) -> Tensor:
    """Compares the ranks of the other modality's images with the ranks that they should have.

    Each image ranks the G images of the other modality by cosine distance. Images of its identity should have rank 1 and
    all others rank G. The loss of a modality is the mean absolute difference of its images. The result is the mean of the
    two modalities.

    Args:
        features: (B, D), of any length. The first `num_rgb` are RGB.
        pids: (B,) identities. An image is skipped if no image of the other modality has its identity, or all have it.
        num_rgb: 0 to B. If all images of a modality are skipped, the result is the loss of the other one, or 0.

    Returns:
        The loss, a scalar.
    """
    unit = unit_length(features)
    losses = []
    for own, other in ((slice(num_rgb), slice(num_rgb, None)), (slice(num_rgb, None), slice(num_rgb))):
        match = pids[own, None] == pids[None, other]  # (Q, G)
        counts = match.any(dim=1) & ~match.all(dim=1)  # (Q,)
        dist = (1 - unit[own] @ unit[other].T) / 2  # (Q, G)
        target = torch.where(match, 1, match.shape[1])
        rows = (soft_rank(dist, STRENGTH) - target).abs().mean(dim=1) if match.shape[1] else dist.sum(dim=1)  # (Q,)
        # A sum over all rows, so that nothing waits for the number of rows that count.
        losses.append((torch.where(counts, rows, 0).sum() / counts.sum().clamp(min=1), counts.any()))
    total = torch.stack([loss for loss, _ in losses]).sum()
    return total / torch.stack([valid for _, valid in losses]).sum().clamp(min=1)


def soft_rank(values: Tensor, strength: float = 1.0) -> Tensor:
    """Differentiable ranks: the point of the permutahedron nearest to the values divided by `strength`.

    The permutahedron is the convex hull of all permutations of 1, ..., n. With a small strength the result is the ranks.

    Args:
        values: (Q, G), ranked within each row. The smallest value has rank 1.
        strength: above 0. The larger it is, the nearer all ranks are to their mean, (G + 1) / 2.

    Returns:
        (Q, G) ranks from 1 to G. The sum of each row is G (G + 1) / 2.
    """
    num = values.shape[1]
    # Sums of ranks lose too many digits in single precision.
    theta, order = (values.double() / strength).sort(dim=1, descending=True)
    excess = theta - torch.arange(num, 0, -1, device=values.device)  # (Q, G)
    ranks = theta - non_increasing_fit(excess)
    return torch.empty_like(ranks).scatter(1, order, ranks).to(values.dtype)


def non_increasing_fit(values: Tensor) -> Tensor:
    """Isotonic regression: the non-increasing rows that are nearest to the rows of `values`, in least squares.

    Entry i is the smallest, over j <= i, of the largest mean of values j to k, over k >= i (Robertson et al., Order
    Restricted Statistical Inference, 1988). The gradient is that of the means.

    Args:
        values: (Q, G).  It takes memory for Q x G x G numbers.

    Returns:
        (Q, G).
    """
    sums = F.pad(values.cumsum(dim=1), (1, 0))  # (Q, G + 1)
    place = torch.arange(values.shape[1], device=values.device)
    length = place[None, :] - place[:, None] + 1  # (G, G), of the segment from row j to column k
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / length.clamp(min=1)  # (Q, G, G)
    largest = means.masked_fill(length < 1, -torch.inf).flip(2).cummax(dim=2).values.flip(2)
    return largest.masked_fill(length < 1, torch.inf).amin(dim=1)


def cross_modality_retrieval_loss(outputs: Outputs, batch: Batch) -> Tensor:
    """`cross_modality_retrieval` of a batch, on features after batch normalization."""
    return cross_modality_retrieval(outputs.features, batch.pids, batch.num_rgb)


register_loss("cmr", cross_modality_retrieval_loss, reaches="features", help="cross-modality retrieval loss of MCJA")
