"""The augmentations of MCJA for RGB images: Liang et al., Bridging the Gap, TCSVT 2024, section "VIMC".

They change the colors of 8-bit images before flip and crop, as the authors' code (github.com/workingcoder/MCJA) does.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import adjust_hue

from torchreid_rgbir.data.augmentations import (
    ERASING,
    FILE_COLORS,
    Colors,
    RandomNumbers,
    inside,
    randint,
    register_augmentation,
    to_device,
)
from torchreid_rgbir.data.luckydc_augmentations import NUM_BOX_NUMBERS, mean_erase, random_boxes

HUE = 0.2  # the largest turn of the hue, of a full circle
LARGEST_BOX = 0.33  # of ChannelCutMix, share of the image
NUM_CHOICES = 4


def mcja_colors(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Changes half of the images by one of four augmentations, which are equally likely.

    They are a turn of the hue, `weighted_gray`, `channel_cutmix` and `spectrum_jitter`.
    """
    pixels = images if not images.is_floating_point() else (images * 255).round().byte()
    changed = pixels.clone()
    numbers = random_numbers[:, 2:]
    choice = np.where(random_numbers[:, 0] < 0.5, randint(random_numbers[:, 1], NUM_CHOICES - 1), -1)
    for number, change in enumerate((jitter_hue, weighted_gray, channel_cutmix, spectrum_jitter)):
        chosen = np.flatnonzero(choice == number)
        if len(chosen):
            rows = to_device(chosen, images)
            changed[rows] = change(pixels[rows], numbers[chosen])
    return changed


# Each of the following takes images (B, 3, H, W), uint8, and random numbers (B, n) in [0, 1). It returns new images.


def jitter_hue(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """Turns the hue of each image by up to a fifth of a circle."""
    turns = HUE * (2 * random_numbers[:, 0] - 1)
    return torch.stack([adjust_hue(image, turn) for image, turn in zip(images, turns.tolist(), strict=True)])


def weighted_gray(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """Makes gray images: three random numbers, divided by their sum, weight the channels."""
    shares = random_numbers[:, :3] / random_numbers[:, :3].sum(axis=1, keepdims=True)
    weights = to_device(shares, images)[:, :, None, None]  # (B, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).byte().expand_as(images)


def channel_cutmix(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """Makes gray images of one random channel, with a box from a different one.

    The authors' code exchanges the image's height and width when it samples the box. The box is therefore in the upper
    part of a person's image, and its right part may be outside of the image.
    """
    height, width = images.shape[2:]
    top, left, high, wide = random_boxes(random_numbers[:, 2:], width, height, LARGEST_BOX)
    first, step = randint(random_numbers[:, 0], 2), 1 + randint(random_numbers[:, 1], 1)
    outer, inner = (_channel(images, index) for index in (first, (first + step) % 3))
    boxes = inside(top, high, height)[:, :, None] & inside(left, wide, width)[:, None]  # (B, H, W)
    return torch.where(to_device(boxes, images)[:, None], inner, outer).expand_as(images)


def spectrum_jitter(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """Blends each image with the gray image of one random channel, in a random proportion."""
    gray = _channel(images, randint(random_numbers[:, 0], 2)).float()
    share = to_device(random_numbers[:, 1].astype(np.float32), images)[:, None, None, None]
    return (gray + share * (images.float() - gray)).byte()  # Pillow's `blend` rounds down, too


def _channel(images: Tensor, index: NDArray[np.int64]) -> Tensor:
    """index: (B,).  Returns the channel of that number of each image, (B, 1, H, W)."""
    return images[torch.arange(len(images), device=images.device), to_device(index, images)][:, None]


register_augmentation("mcja_colors", mcja_colors, 4 + NUM_BOX_NUMBERS, FILE_COLORS)
register_augmentation("mcja_erase", mean_erase(0.30), 1 + NUM_BOX_NUMBERS, ERASING)
