"""The feature of an image, as tests and retrieval use it."""

from torch import Tensor

from torchreid_rgbir.modality import RGB
from torchreid_rgbir.models.dual_resnet import TwoStreamNetwork


def embed(model: TwoStreamNetwork, images: Tensor, modality: int, feature: str = "bn", flip: bool = False) -> Tensor:
    """Computes the features of images of one modality.

    Args:
        model: in evaluation mode.
        images: (B, 3, H, W), normalized.
        modality: RGB or IR.
        feature: "bn" for features after batch normalization, "pooled" for features before it.
        flip: add the features of the mirrored images.

    Returns:
        (B, D) features, not of unit length.
    """
    num_rgb = len(images) if modality == RGB else 0
    views = [images, images.flip(3)] if flip else [images]
    embedded = [dict(zip(("pooled", "bn"), model.embed(view, num_rgb), strict=True))[feature] for view in views]
    return sum(embedded[1:], embedded[0])
