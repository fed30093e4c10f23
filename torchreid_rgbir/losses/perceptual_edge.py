"""Perceptual edge loss (PEF) of MSO (ACM MM 2021): pulls Layer0's maps towards the image's edges, as seen by a frozen VGG-16.

The published formula is not available. This is the reconstruction from the patent's text. By default both maps are
scaled to [0, 1] per image first. The loss then compares where edges are, and not how large batch normalization lets the
responses become.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torchreid_rgbir.losses.registry import Option, register_loss
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.vgg import BOUNDS, CONV2_CHANNELS, MIN_MAPS, WEIGHTS, VGGStages
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import widen


def perceptual_edge(maps: Tensor, edges: Tensor, num_rgb: int, vgg: VGGStages) -> Tensor:
    """PEF_rgb + PEF_ir: the squared distance between VGG's features of maps and edges, per element, summed over four stages.

    Under autocast, VGG's convolutions run in half precision. Its input, the distances and the sums stay in single precision.

    Args:
        maps: (B, 64, h, w) from Layer0, the RGB images first. Only they receive gradients.
        edges: (B, 1, h, w) of the same images, any range.
        num_rgb: the number of RGB images, 0 to B. A modality without images adds nothing.
        vgg: the stages, on the device of the maps.

    Returns:
        The loss, a scalar: the sum of the modalities' means over their images.
    """
    distances = stage_distances(maps, edges, vgg).sum(dim=0)  # (B,)
    halves = [half.mean() for half in (distances[:num_rgb], distances[num_rgb:]) if len(half)]
    return torch.stack(halves).sum()


def at_most_quarter(maps: Tensor, height: int, width: int) -> Tensor:
    """Averages maps that are larger than a quarter of the image, the scale of the published Layer0, to that scale.

    A ResNet's maps have this scale already. EfficientNet's are twice as large, and VGG would take four times as long.

    Args:
        maps: (B, C, h, w) from Layer0.
        height, width: of the images, in pixels.

    Returns:
        (B, C, at most ceil(height / 4), at most ceil(width / 4)).
    """
    rows, columns = min(maps.shape[2], -(-height // 4)), min(maps.shape[3], -(-width // 4))
    return maps if (rows, columns) == maps.shape[2:] else F.adaptive_avg_pool2d(maps, (rows, columns))


def check_maps(model: str, shape: tuple[int, int, int], size: tuple[int, int], entry: str) -> None:
    """Checks that VGG can take a network's Layer0 maps.

    Args:
        model: the network's name.
        shape: C, h and w of the maps.
        size: height and width of the images, in pixels.
        entry: how maps enter VGG.

    Raises:
        ValueError: the maps are too small, or have the wrong number of channels. The message says what to set.
    """
    channels, *sides = shape
    if min(sides) < MIN_MAPS:
        height, width = (-(-MIN_MAPS * pixels // side) for pixels, side in zip(size, sides, strict=True))
        raise ValueError(
            f"the Layer0 maps of {model} have {sides[0]} x {sides[1]} pixels for images of {size[0]} x {size[1]}, too small for "
            f"VGG in the perceptual edge loss: set data.height to {max(height, size[0])} or more and data.width to "
            f"{max(width, size[1])} or more, or loss.mso.weight_pef 0"
        )
    if entry == "conv2" and channels != CONV2_CHANNELS:
        raise ValueError(
            f"loss.pef.entry is conv2, which takes maps of {CONV2_CHANNELS} channels, and Layer0 of {model} gives {channels}: "
            "set loss.pef.entry image"
        )


def stage_distances(maps: Tensor, edges: Tensor, vgg: VGGStages) -> Tensor:
    """The loss of each image, stage by stage.

    Args:
        maps, edges, vgg: as in `perceptual_edge`.

    Returns:
        (stages, B): ||phi_t(maps) - phi_t(edges)||^2 per element of stage t.
    """
    # Both modalities pass VGG in one batch, and the pass of the edges keeps nothing for the backward pass.
    with torch.no_grad():
        targets = vgg(edges)
    return torch.stack([_distance(found, target) for found, target in zip(vgg(maps), targets, strict=True)])


def _distance(found: Tensor, target: Tensor) -> Tensor:
    # ||found - target||^2 / (C H W) of each image, (B,). The norm keeps one map for the backward pass, a mean of squares more.
    return torch.linalg.vector_norm(widen(found) - widen(target), dim=(1, 2, 3)).square() / found[0].numel()


class PerceptualEdgeLoss(nn.Module):
    """`perceptual_edge` between Layer0's maps and the edges of the images that they came from.

    Args:
        entry: how maps enter VGG, 'image' or 'conv2'; see `VGGStages`.
        weights: VGG's weights, 'imagenet', 'random' or the path of a file.
        normalize: scale maps and edges to [0, 1] per image first.

    Raises:
        FileNotFoundError: the file is missing; or the ImageNet weights are not in torch's cache, and there is no network.
        ValueError: the entry is unknown, or the file is damaged or contains the weights of a different network.

    Examples:
        >>> loss = PerceptualEdgeLoss(weights="random")
        >>> maps, images = torch.rand(4, 64, 24, 12), torch.rand(4, 3, 96, 48)
        >>> loss(maps, images, num_rgb=2).shape
        torch.Size([])
    """

    def __init__(self, entry: str = "image", weights: str = "imagenet", normalize: bool = True) -> None:
        super().__init__()
        self.vgg = VGGStages(entry, weights, normalize)

    def forward(self, maps: Tensor, images: Tensor, num_rgb: int) -> Tensor:
        """Computes the loss of a batch.

        Args:
            maps: (B, 64, h, w) from Layer0, the RGB images first.
            images: (B, 3, H, W) in [0, 1], not normalized.
            num_rgb: the number of RGB images.

        Returns:
            A scalar.
        """
        maps = at_most_quarter(maps, images.shape[2], images.shape[3])
        height, width = maps.shape[-2:]
        return perceptual_edge(maps, edge_map(images, (height, width)), num_rgb, self.vgg)


class _OfBatch(PerceptualEdgeLoss):
    def forward(self, outputs: Outputs, batch: Batch) -> Tensor:  # type: ignore[override]
        return super().forward(outputs.maps, batch.images, batch.num_rgb)


register_loss(
    "pef",
    _OfBatch,
    weight=1.0,
    options={
        "entry": Option("image", tuple(BOUNDS), help="how Layer0's maps enter VGG-16"),
        "weights": Option("imagenet", WEIGHTS, help="of VGG-16; or the path of a file with weights", file=True),
        "normalize": Option(True, help="scale maps and edges to [0, 1] per image before VGG"),
    },
    compares_images=False,
    autocast=True,
    reaches="layer0",
    help="perceptual edge loss",
)
