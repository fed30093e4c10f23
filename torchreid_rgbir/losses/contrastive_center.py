"""Cross-modality contrastive-center loss (CMCC) of MSO (ACM MM 2021).

The published formula is lost; both forms here are reconstructions from the claims: the identities' distances between
the modalities' centers against the smallest distance between two identities' centers.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.centers import modality_centers
from torchreid_rgbir.models.precision import full_precision, unit_length


def soft_margin(intra: Tensor, nearest: Tensor) -> Tensor:
    """Mean of log(1 + exp(d_intra - m)).  intra: (P,); nearest: the scalar m.  Returns a scalar."""
    return F.softplus(intra - nearest).mean()


def ratio(intra: Tensor, nearest: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean of d_intra / (m + eps).  intra: (P,); nearest: the scalar m.  Returns a scalar."""
    return (intra / (nearest + eps)).mean()


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"soft_margin": soft_margin, "ratio": ratio}


@full_precision
def contrastive_center(features: Tensor, num_ids: int, form: str = "soft_margin") -> Tensor:
    """Draws an identity's two modality centers together and the batch's two nearest identities apart.

    Args:
        features: (2PK, D): the RGB half first, the same P identities in the same order in both halves, each
            identity's K images together.
        num_ids: P, at least 2.
        form: a name in `FORMS`.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: fewer than two identities, a batch that does not divide by 2P, an unknown form.

    Examples:
        >>> rgb = ir = torch.tensor([[0.0, 0.0], [3.0, 4.0]])  # K = 1: both modalities of an identity coincide, the identities are 5 apart
        >>> contrastive_center(torch.cat([rgb, ir]), num_ids=2).item() == F.softplus(torch.tensor(0.0 - 5.0)).item()
        True
    """
    combine = _combination(form)
    rgb, ir = modality_centers(features, num_ids)  # (P, D) each
    centers = (rgb + ir) / 2
    intra = torch.linalg.vector_norm(rgb - ir, dim=1)  # (P,)
    inter = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist")  # (P, P)
    itself = torch.eye(num_ids, dtype=torch.bool, device=features.device)
    return combine(intra, inter.masked_fill(itself, torch.inf).min())


def _combination(form: str) -> Callable[[Tensor, Tensor], Tensor]:
    if form not in FORMS:
        raise ValueError(f"contrastive-center form {form!r} is unknown: choose one of {', '.join(FORMS)}")
    return FORMS[form]


class ContrastiveCenterLoss(nn.Module):
    """`contrastive_center` on the features as they are or L2-normalized.

    Args:
        form: a name in `FORMS`.
        normalize: L2-normalize the features first.

    Raises:
        ValueError: an unknown form.
    """

    def __init__(self, form: str = "soft_margin", normalize: bool = True) -> None:
        super().__init__()
        _combination(form)
        self.form = form
        self.normalize = normalize

    def forward(self, features: Tensor, num_ids: int) -> Tensor:
        """features: (2PK, D) in the batch's layout; num_ids: P.  Returns a scalar."""
        return contrastive_center(unit_length(features) if self.normalize else features, num_ids, self.form)
