"""Perceptual edge loss (PEF) of MSO (ACM MM 2021): Layer0's maps shall show a frozen VGG-16 what the image's edges show it.

The published formula is lost; this is the reconstruction from the patent's text. Unless told otherwise both maps are
brought to [0, 1] per image first, so that the loss compares where edges are, not how large batch normalization lets the
responses grow.
"""

import torch
from torch import Tensor, nn

from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.models.precision import full_precision


@full_precision
def perceptual_edge(maps: Tensor, edges: Tensor, num_rgb: int, vgg: VGGStages) -> Tensor:
    """PEF_rgb + PEF_ir: the squared distance of VGG's view of maps and edges, per element, summed over its four stages.

    Args:
        maps: (B, 64, h, w) from Layer0, the RGB half first. Gradients flow through them alone.
        edges: (B, 1, h, w) of the same images, any range.
        num_rgb: how many images are RGB, 0 to B. A modality without images adds nothing.
        vgg: the stages, on the device of the maps.

    Returns:
        The loss, a scalar: the sum of the modalities' means over their images.
    """
    distances = stage_distances(maps, edges, vgg).sum(dim=0)  # (B,)
    halves = [half.mean() for half in (distances[:num_rgb], distances[num_rgb:]) if len(half)]
    return torch.stack(halves).sum()


def stage_distances(maps: Tensor, edges: Tensor, vgg: VGGStages) -> Tensor:
    """The loss of each image, stage by stage.

    Args:
        maps, edges, vgg: as in `perceptual_edge`.

    Returns:
        (stages, B): ||phi_t(maps) - phi_t(edges)||^2 per element of stage t.
    """
    # Both modalities pass VGG in one batch, and nothing of the edges' pass is kept for the backward pass.
    with torch.no_grad():
        targets = vgg(edges)
    return torch.stack([_distance(found, target) for found, target in zip(vgg(maps), targets, strict=True)])


def _distance(found: Tensor, target: Tensor) -> Tensor:
    # ||found - target||^2 / (C H W) of each image, (B,). The norm keeps one map for the backward pass, a mean of squares more.
    return torch.linalg.vector_norm(found - target, dim=(1, 2, 3)).square() / found[0].numel()


class PerceptualEdgeLoss(nn.Module):
    """`perceptual_edge` between Layer0's maps and the edges of the images they came from.

    Args:
        entry: how maps enter VGG, 'image' or 'conv2'; see `VGGStages`.
        weights: VGG's weights, 'imagenet' or 'random'.
        normalize: bring maps and edges to [0, 1] per image first.

    Raises:
        FileNotFoundError: no ImageNet weights in torch's cache, and no network.
        ValueError: an unknown entry or weights, or a broken weights file.
    """

    def __init__(self, entry: str = "image", weights: str = "imagenet", normalize: bool = True) -> None:
        super().__init__()
        self.vgg = VGGStages(entry, weights, normalize)

    def forward(self, maps: Tensor, images: Tensor, num_rgb: int) -> Tensor:
        """The loss of a batch.

        Args:
            maps: (B, 64, h, w) from Layer0, the RGB half first.
            images: (B, 3, H, W) in [0, 1], not normalized.
            num_rgb: how many images are RGB.

        Returns:
            A scalar.
        """
        height, width = maps.shape[-2:]
        return perceptual_edge(maps, edge_map(images, (height, width)), num_rgb, self.vgg)
