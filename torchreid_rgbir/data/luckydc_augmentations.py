"""The augmentations of LuckyDC's baseline (github.com/LuckyDC/RGB-IR-ReID-Baseline), which MCJA shares.

They are torchvision's `RandomCrop` with gray padding and `RandomErasing` with the value 0 on normalized images.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from torchreid_rgbir.data.augmentations import (
    ERASING,
    GEOMETRY,
    PADDING,
    Colors,
    RandomNumbers,
    crop,
    first_fitting,
    inside,
    randint,
    register_augmentation,
    to_device,
    to_unit,
)

GRAY = 127  # of 255
NUM_TRIES = 10  # random boxes per image, as in torchvision
SMALLEST_AREA, ASPECT = 0.02, (0.3, 3.3)  # share of the image; height over width
NUM_BOX_NUMBERS = 2 + 2 * NUM_TRIES


def gray_pad_crop(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Pads 10 gray pixels on each side and crops the original size at a random place."""
    gray = GRAY / 255 if images.is_floating_point() else GRAY
    top, left = (randint(random_numbers[:, i], 2 * PADDING) for i in range(2))
    return crop(F.pad(images, (PADDING,) * 4, value=gray), top, left, *images.shape[2:])


def mean_erase(largest_area: float) -> Callable[[Tensor, RandomNumbers, Colors], Tensor]:
    """Returns an augmentation that fills a box of each image with the mean color, with probability 0.5.

    Args:
        largest_area: share of the image. The smallest is 0.02.
    """

    def erase(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
        images = to_unit(images)
        height, width = images.shape[2:]
        top, left, high, wide = random_boxes(random_numbers[:, 1:], height, width, largest_area)
        high = np.where(random_numbers[:, 0] < 0.5, high, 0)
        boxes = inside(top, high, height)[:, :, None] & inside(left, wide, width)[:, None]  # (B, H, W)
        return torch.where(to_device(boxes, images)[:, None], colors.mean[:, None, None], images)

    return erase


def random_boxes(
    random_numbers: RandomNumbers, height: int, width: int, largest_area: float
) -> tuple[NDArray[np.int64], ...]:
    """Samples a box for each image as torchvision's `RandomErasing` does.

    The area is uniformly distributed, the logarithm of height over width too. The first of ten boxes that is lower
    and narrower than the image is used. Its place is uniformly distributed.

    Args:
        random_numbers: (B, NUM_BOX_NUMBERS) in [0, 1).
        height, width: of the images.
        largest_area: share of the image.

    Returns:
        Top, left, height and width of each box, (B,) each. A box has height 0 if none of the ten fits.
    """
    areas, aspects = np.split(random_numbers[:, 2:], 2, axis=1)  # (B, NUM_TRIES) each
    area = height * width * (SMALLEST_AREA + (largest_area - SMALLEST_AREA) * areas)
    low, high = np.log(ASPECT)
    aspect = np.exp(low + (high - low) * aspects)
    return first_fitting(area, aspect, random_numbers[:, :2], height, width)


register_augmentation("gray_pad_crop", gray_pad_crop, 2, GEOMETRY)
register_augmentation("luckydc_erase", mean_erase(0.33), 1 + NUM_BOX_NUMBERS, ERASING)
