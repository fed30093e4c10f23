"""The centers that center-based losses compare: an identity's mean feature in each modality."""

from torch import Tensor


def modality_centers(features: Tensor, num_ids: int) -> Tensor:
    """The means of each identity's K images of a modality.

    Args:
        features: (2PK, D): the RGB half first, the same P identities in the same order in both halves, each identity's K images together.
        num_ids: P, at least 2.

    Returns:
        (2, P, D), the RGB centers and the IR centers.

    Raises:
        ValueError: fewer than two identities, or a batch that does not divide by 2P.
    """
    if num_ids < 2:
        raise ValueError(f"center losses compare identities: {num_ids} in the batch, expected 2 or more")
    if len(features) % (2 * num_ids):
        raise ValueError(f"{len(features)} features are not 2 modalities x {num_ids} identities x K images")
    return features.view(2, num_ids, -1, features.shape[1]).mean(dim=2)
