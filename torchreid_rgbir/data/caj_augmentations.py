"""The augmentations of CAJ: Ye et al., Channel Augmented Joint Learning for Visible-Infrared Recognition, ICCV 2021.

They follow the authors' code: github.com/mangye16/Cross-Modal-Re-ID-baseline, commit e817a26, ICCV21_CAJ. There they are
applied to normalized images, whose channels have different means and scales. Here the images are in [0, 1], and each
augmentation computes the color that normalization turns into the authors' value. Such colors can be slightly outside [0, 1].
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_rgbir.data.augmentations import (
    ERASING,
    FINAL_COLORS,
    NUM_ERASE_NUMBERS,
    Colors,
    RandomNumbers,
    erased_boxes,
    mask,
    randint,
    register_augmentation,
    to_device,
    to_unit,
)

ERASED_COLOR = np.array([0.4914, 0.4822, 0.4465], np.float32)  # of a normalized image
LUMA = (0.2989, 0.5870, 0.1140)


def caj_erase(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """With probability 0.5, fills a box of 0.02 to 0.4 of the image (ChannelRandomErasing): `random_erase` in CAJ's color.

    The authors' code tries up to 100 boxes until one fits. Here up to 8 are tried. All 8 fail for one image in 10^10.
    """
    images = to_unit(images)
    fill = colors.unnormalized(to_device(ERASED_COLOR, images))
    return torch.where(erased_boxes(images, random_numbers)[:, None], fill[:, None, None], images)


def caj_exchange(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Copies a random channel to all three (ChannelExchange)."""
    return _mixed(images, np.eye(3)[randint(random_numbers[:, 0], 2)], colors)


def caj_gray(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Copies a random channel to all three, or their luma, or changes nothing (ChannelAdapGray).

    Each channel has the probability 1/4. The luma and no change have 1/8 each.
    """
    choice = randint(random_numbers[:, 0], 3)
    mixed = _mixed(images, np.vstack([np.eye(3), LUMA])[choice], colors)
    changed = (choice < 3) | (random_numbers[:, 1] < 0.5)
    return torch.where(mask(changed, images), mixed, to_unit(images))


def _mixed(images: Tensor, weights: NDArray[np.float64], colors: Colors) -> Tensor:
    """The weighted sum of an image's normalized channels, in all three channels, not normalized.  weights: (B, 3)."""
    images = to_unit(images)
    mean, std = (values[:, None, None] for values in colors)  # (3, 1, 1)
    shares = to_device(weights.astype(np.float32), images)[:, :, None, None] / std  # (B, 3, 1, 1)
    gray = (images * shares).sum(1, keepdim=True) - (mean * shares).sum(1, keepdim=True)  # (B, 1, H, W)
    return gray * std + mean


register_augmentation("caj_erase", caj_erase, NUM_ERASE_NUMBERS, ERASING)
register_augmentation("caj_exchange", caj_exchange, 1, FINAL_COLORS)
register_augmentation("caj_gray", caj_gray, 2, FINAL_COLORS)
