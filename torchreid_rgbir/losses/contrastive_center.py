"""Cross-modality contrastive-center loss (CMCC) of MSO (ACM MM 2021).

The published formula is not available. Both forms here are reconstructions from the claims: they compare the distance
between an identity's two modality centers with the smallest distance between the centers of two identities.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.registry import Option, register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision, unit_length


def soft_margin(intra: Tensor, nearest: Tensor) -> Tensor:
    """Mean of log(1 + exp(d_intra - m)).  intra: (P,); nearest: the scalar m.  Returns a scalar."""
    return F.softplus(intra - nearest).mean()


def ratio(intra: Tensor, nearest: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean of d_intra / (m + eps).  intra: (P,); nearest: the scalar m.  Returns a scalar."""
    return (intra / (nearest + eps)).mean()


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"soft_margin": soft_margin, "ratio": ratio}


def modality_centers(features: Tensor, num_ids: int) -> Tensor:
    """The mean feature of each identity in each modality.

    Args:
        features: (2PK, D) in aligned halves: the RGB half first, the same P identities in the same order in both halves,
            and the K images of an identity together.
        num_ids: P, at least 2.

    Returns:
        (2, P, D): the RGB centers and the IR centers.

    Raises:
        ValueError: there are fewer than two identities, or 2P does not divide the batch.
    """
    if num_ids < 2:
        raise ValueError(f"center losses compare identities: got {num_ids} in the batch, expected 2 or more")
    if len(features) % (2 * num_ids):
        raise ValueError(f"{len(features)} features are not 2 modalities x {num_ids} identities x K images")
    return features.view(2, num_ids, -1, features.shape[1]).mean(dim=2)


@full_precision
def contrastive_center(features: Tensor, num_ids: int, form: str = "soft_margin") -> Tensor:
    """Pulls the two modality centers of an identity together and pushes the two nearest identities of the batch apart.

    Args:
        features: (2PK, D) in aligned halves; see `modality_centers`.
        num_ids: P, at least 2.
        form: a name in `FORMS`.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: there are fewer than two identities, 2P does not divide the batch, or the form is unknown.

    Examples:
        >>> rgb = ir = torch.tensor([[0.0, 0.0], [3.0, 4.0]])  # K = 1: an identity's centers coincide, identities are 5 apart
        >>> contrastive_center(torch.cat([rgb, ir]), num_ids=2).item() == F.softplus(torch.tensor(0.0 - 5.0)).item()
        True
    """
    if form not in FORMS:
        raise ValueError(f"contrastive-center form {form!r} is unknown: choose from {', '.join(FORMS)}")
    rgb, ir = modality_centers(features, num_ids)  # (P, D) each
    centers = (rgb + ir) / 2
    intra = torch.linalg.vector_norm(rgb - ir, dim=1)  # (P,)
    inter = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist")  # (P, P)
    itself = torch.eye(num_ids, dtype=torch.bool, device=features.device)
    return FORMS[form](intra, inter.masked_fill(itself, torch.inf).min())


class ContrastiveCenterLoss(nn.Module):
    """`contrastive_center` on the features as they are or of unit length.

    Args:
        form: a name in `FORMS`.
        normalize: scale the features to unit length first.

    Raises:
        ValueError: the form is unknown.

    Examples:
        >>> loss = ContrastiveCenterLoss()
        >>> features = torch.randn(16, 2048)  # 4 identities x 2 RGB images, then the same identities x 2 IR images
        >>> loss(features, num_ids=4).shape
        torch.Size([])
    """

    def __init__(self, form: str = "soft_margin", normalize: bool = True) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"contrastive-center form {form!r} is unknown: choose from {', '.join(FORMS)}")
        self.form = form
        self.normalize = normalize

    def forward(self, features: Tensor, num_ids: int) -> Tensor:
        """features: (2PK, D) in aligned halves; num_ids: P.  Returns a scalar."""
        return contrastive_center(unit_length(features) if self.normalize else features, num_ids, self.form)


def contrastive_center_loss(outputs: Outputs, batch: Batch, form: str, normalize: bool) -> Tensor:
    """`contrastive_center` of a batch."""
    batch.require_aligned_halves("the contrastive-center loss")
    return contrastive_center(outputs.unit_features if normalize else outputs.features, batch.num_ids, form)


register_loss(
    "cmcc",
    contrastive_center_loss,
    weight=1.0,
    options={
        "form": Option("soft_margin", tuple(FORMS)),
        "normalize": Option(True, help="on features of unit length"),
    },
    reaches="features",
    help="contrastive-center loss",
)
