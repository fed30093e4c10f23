"""The frozen VGG-16 of the perceptual edge loss, in four stages. Maps can enter it in two ways."""

import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from torchreid_rgbir.models import vgg
from torchreid_rgbir.models.imagenet import load_imagenet
from torchreid_rgbir.models.precision import full_precision
from torchreid_rgbir.models.weights import read_weights

logger = logging.getLogger(__name__)

# The limits of the stages in VGG-16's 31 layers. Each stage ends after the last ReLU of a block.
BOUNDS = {
    "image": (0, 4, 9, 16, 23),  # relu1_2, relu2_2, relu3_3, relu4_3
    "conv2": (5, 9, 16, 23, 30),  # relu2_2, relu3_3, relu4_3, relu5_3
}
WEIGHTS = ("imagenet", "random")
MIN_MAPS = 8  # of the height and width of the maps that enter: three poolings leave 1 pixel
CONV2_CHANNELS = 64  # of the maps that enter at conv2_1
MIN_SIZE = 4 * MIN_MAPS  # of an image's height and width: a ResNet's Layer0 divides it by 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that VGG was trained on


def min_max(maps: Tensor, eps: float = 1e-6) -> Tensor:
    """Scales the map of each image to [0, 1]. Minimum and maximum are over C, H and W.

    Args:
        maps: (B, C, H, W).
        eps: a map whose range is not above this value is constant. It becomes 0, and no gradient passes.

    Returns:
        (B, C, H, W).
    """
    low, high = maps.amin(dim=(1, 2, 3), keepdim=True), maps.amax(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    extent = high - low
    return (maps - low) * ((extent > eps) / extent.clamp(min=eps))


def as_vgg_input(gray: Tensor) -> Tensor:
    """Normalizes a gray image as VGG's training images were.  gray: (B, 1, H, W) in [0, 1].  Returns (B, 3, H, W)."""
    return torch.cat([(gray - mean) / std for mean, std in zip(MEAN, STD, strict=True)], dim=1)


class VGGStages(nn.Module):
    """Four stages of VGG-16. They are never trained: no parameter requires a gradient.

    Args:
        entry: with 'image', the mean over the channels enters as a gray image, and the stages are blocks 1-4. With
            'conv2', maps of 64 channels enter at conv2_1 in place of block 1's output, and the stages are blocks 2-5.
        weights: 'imagenet', 'random' for machines without the ImageNet weights, or the path of a file with the weights of a
            VGG-16, with batch normalization or without. Random weights are always the same.
        normalize: scale the map of each image to [0, 1] first (`min_max`).

    Raises:
        FileNotFoundError: the file is missing; or the ImageNet weights are not in torch's cache, and there is no network.
        ValueError: the entry is unknown, or the file is damaged or contains the weights of a different network.
    """

    def __init__(self, entry: str = "image", weights: str = "imagenet", normalize: bool = True) -> None:
        super().__init__()
        if entry not in BOUNDS:
            raise ValueError(f"VGG entry {entry!r} is unknown: choose one of {', '.join(BOUNDS)}")
        if weights not in WEIGHTS and not Path(weights).expanduser().is_file():
            raise FileNotFoundError(
                f"VGG weights {weights} are missing: give {', '.join(WEIGHTS)}, or the path of a file with weights"
            )
        features = _features(weights)
        start, *ends = BOUNDS[entry]
        begins = (start + 1, *ends[:-1])
        self.first: nn.Conv2d = features[start]  # type: ignore[assignment]
        self.stages = nn.ModuleList(features[begin:end] for begin, end in zip(begins, ends, strict=True))
        self.entry = entry
        self.normalize = normalize
        # Channels last saves a quarter of the time on a CPU, where convolutions otherwise reorder their maps twice.
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Computes the outputs phi_1..phi_4 of the four stages.

        Args:
            maps: (B, C, h, w), any range. For 'conv2', C is 64, or 1 for a map that is the same in all channels.

        Returns:
            Four tensors (B, C_t, h_t, w_t).
        """
        maps = self._first(self.enter(maps))
        taps: list[Tensor] = []
        for stage in self.stages:
            maps = stage(maps)
            taps.append(maps)
        return taps

    @full_precision
    def enter(self, maps: Tensor) -> Tensor:
        """Makes VGG's input from maps (B, C, h, w).  Returns (B, 3, h, w) for 'image', (B, C, h, w) for 'conv2'."""
        if self.entry == "image":
            maps = maps.mean(dim=1, keepdim=True)  # (B, 1, h, w)
        if self.normalize:
            maps = min_max(maps)
        return as_vgg_input(maps) if self.entry == "image" else maps

    def _first(self, maps: Tensor) -> Tensor:
        conv = self.first
        if maps.shape[1] > 1:
            return conv(maps)
        # Convolving equal channels gives the same as convolving one with the weights summed over the input channels.
        return F.conv2d(maps, conv.weight.sum(dim=1, keepdim=True), conv.bias, conv.stride, conv.padding)


def _features(weights: str) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):  # a loss must not change the random numbers of the training
        features = make_layers(cfgs["D"])
    if weights == "imagenet":
        load_imagenet(features, VGG16_Weights.IMAGENET1K_V1, prefix="features.", instead="set loss.pef.weights random")
        return features
    if weights != "random":
        return _from_file(weights)
    logger.warning("the perceptual edge loss uses a random VGG-16 (loss.pef.weights random), not the ImageNet weights")
    generator = torch.Generator().manual_seed(0)
    for parameter in features.parameters():
        if parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return features


def _from_file(path: str) -> nn.Sequential:
    weights = {
        name.removeprefix(vgg.PREFIX): value
        for name, value in read_weights(path).items()
        if name.startswith(vgg.PREFIX)
    }
    with torch.random.fork_rng(devices=[]):
        features = make_layers(cfgs["D"], batch_norm="1.running_mean" in weights)
    try:
        features.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"{path} does not contain the weights of a VGG-16: loss.pef.weights takes no other network"
        ) from None
    return vgg.folded(features)
