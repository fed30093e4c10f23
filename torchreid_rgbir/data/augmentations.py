"""Named augmentations of image batches. Other modules add augmentations with `register_augmentation`.

A name that torchreid's `--transforms` has keeps torchreid's meaning. `pad_crop` is the crop of the two-stream methods (AGW's
public recipe), `channel_augment` and `channel_erase` are variants of CAJ's augmentations (Ye et al., ICCV 2021).

Each augmentation is called with images (B, 3, H, W) of any dtype, uint8 or in [0, 1]; random numbers in [0, 1) with a row per
image (B, n); and the `Colors` of the normalization. It returns images of the same shape and leaves its input as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PADDING = 10  # pixels on each side, as in the published two-stream recipe
ERASED_AREA = (0.02, 0.4)  # share of the image, as in torchreid
ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width, as in torchreid
NUM_ERASE_TRIES = 8  # random boxes per image, of which the first that fits is erased; one in ten to twenty does not fit
NUM_ERASE_NUMBERS = 3 + 2 * NUM_ERASE_TRIES

RandomNumbers = NDArray[np.float64]


class Colors(NamedTuple):
    """The normalization of the images, for augmentations that are defined on normalized images.

    Attributes:
        mean, std: (3,), for images in [0, 1], on the device of the images.
    """

    mean: Tensor
    std: Tensor

    def unnormalized(self, values: Tensor) -> Tensor:
        """values: (3,), normalized.  Returns the color in [0, 1] that becomes these values."""
        return values * self.std + self.mean


class Augmentation(NamedTuple):
    """One entry of the table.

    Attributes:
        function: see the first lines of this module.
        num_numbers: n, the number of random numbers per image.
        stage: augmentations are applied in the order of their stages, and within a stage in the order of registration.
    """

    function: Callable[[Tensor, RandomNumbers, Colors], Tensor]
    num_numbers: int
    stage: int


# Stages, in the order of application.
FILE_COLORS, GEOMETRY, COLORS, ERASING, FINAL_COLORS = range(5)

AUGMENTATIONS: dict[str, Augmentation] = {}


def register_augmentation(
    name: str, function: Callable[[Tensor, RandomNumbers, Colors], Tensor], num_numbers: int, stage: int
) -> None:
    """Adds an augmentation, which `data.transforms` then accepts.

    Args:
        name: of the augmentation.
        function, num_numbers, stage: see `Augmentation`.

    Raises:
        ValueError: an augmentation with this name is registered already.
    """
    if name in AUGMENTATIONS:
        raise ValueError(f"an augmentation named {name} is registered already: choose a different name")
    AUGMENTATIONS[name] = Augmentation(function, num_numbers, stage)


def to_unit(images: Tensor) -> Tensor:
    """Converts uint8 to float32 in [0, 1]; floating-point images are returned as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


def random_flip(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Mirrors each image with probability 0.5."""
    chosen = np.flatnonzero(random_numbers[:, 0] < 0.5)
    source = np.arange(len(images))
    source[chosen] = len(images) + np.arange(len(chosen))
    pixels = to_nhwc(images)
    mirrored = pixels.index_select(0, to_device(chosen, images)).flip(2)
    return to_nchw(torch.cat([pixels, mirrored]).index_select(0, to_device(source, images)))


def pad_crop(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """Pads 10 black pixels on each side and crops the original size at a random place."""
    top, left = (randint(random_numbers[:, i], 2 * PADDING) for i in range(2))
    return crop(F.pad(images, (PADDING,) * 4), top, left, *images.shape[2:])


def random_crop(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """As in torchreid: with probability 0.5, enlarges by 1.125 and crops the original size at a random place."""
    height, width = images.shape[2:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    images = to_unit(images)
    enlarged = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    top, left = randint(random_numbers[:, 1], tall - height), randint(random_numbers[:, 2], wide - width)
    cropped = crop(enlarged, top, left, height, width)
    return torch.where(mask(random_numbers[:, 0] < 0.5, images), cropped, images)


def channel_augment(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """With probability 0.5, turns an RGB image gray: one random channel or a random mix of all, repeated to three.

    After CAJ (Ye et al., ICCV 2021), whose code also has four equally likely choices. Its fourth choice is the luma.
    Here, the weights of the fourth choice are uniformly distributed over all weights with sum 1.
    """
    shares = -np.log1p(-random_numbers[:, 2:])
    mixes = shares / np.maximum(shares.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    choice = randint(random_numbers[:, 1], 3)
    weights = np.where((choice < 3)[:, None], np.eye(4, 3)[choice], mixes)  # (B, 3)
    images = to_unit(images)
    mix = to_device(weights.astype(np.float32), images)[:, :, None, None]  # (B, 3, 1, 1)
    gray = (images * mix).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.where(mask(random_numbers[:, 0] < 0.5, images), gray, images)


def random_erase(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """As in torchreid: with probability 0.5, fills a box of 0.02 to 0.4 of the image, 0.3 to 3.3 times as high as wide."""
    images = to_unit(images)
    fill = colors.unnormalized(colors.mean)  # torchreid also erases with the mean, but after normalization
    return torch.where(erased_boxes(images, random_numbers)[:, None], fill[:, None, None], images)


def channel_erase(images: Tensor, random_numbers: RandomNumbers, colors: Colors) -> Tensor:
    """`random_erase` with a different box in each channel, after CAJ's channel-wise random erasing."""
    images = to_unit(images)
    boxes = torch.stack(
        [erased_boxes(images, part) for part in np.split(random_numbers, 3, axis=1)], dim=1
    )  # (B, 3, H, W)
    fill = colors.unnormalized(colors.mean)
    return torch.where(boxes, fill[:, None, None], images)


def erased_boxes(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """The pixels to erase in each image, (B, H, W)."""
    height, width = images.shape[2:]
    areas, aspects = np.split(random_numbers[:, 3:], 2, axis=1)  # (B, NUM_ERASE_TRIES) each
    area = height * width * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * areas)
    aspect = ERASED_ASPECT[0] + (ERASED_ASPECT[1] - ERASED_ASPECT[0]) * aspects
    top, left, high, wide = first_fitting(area, aspect, random_numbers[:, 1:3], height, width)
    high = np.where(random_numbers[:, 0] < 0.5, high, 0)
    return (
        to_device(inside(top, high, height), images)[:, :, None] & to_device(inside(left, wide, width), images)[:, None]
    )


def first_fitting(
    area: NDArray[np.float64], aspect: NDArray[np.float64], places: RandomNumbers, height: int, width: int
) -> tuple[NDArray[np.int64], ...]:
    """Places the first box of each image that is lower and narrower than the image.

    Args:
        area, aspect: (B, n) of the boxes to try, in pixels and as height over width.
        places: (B, 2) in [0, 1), of the top and of the left edge.
        height, width: of the images.

    Returns:
        Top, left, height and width of each box, (B,) each. A box has height 0 if none fits.
    """
    tall, wide = (np.rint(np.sqrt(size)).astype(np.int64) for size in (area * aspect, area / aspect))
    fits = (tall < height) & (wide < width)
    rows, first = np.arange(len(fits)), fits.argmax(1)
    tall, wide = tall[rows, first], wide[rows, first]  # (B,)
    top, left = randint(places[:, 0], height - tall), randint(places[:, 1], width - wide)
    return top, left, np.where(fits.any(1), tall, 0), wide


def inside(start: NDArray[np.int64], length: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """start, length: (B,).  Returns (B, size), True for the places from `start` to `start + length`."""
    place = np.arange(size)
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def crop(images: Tensor, top: NDArray[np.int64], left: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Crops (height, width) from each image (B, C, H', W') at a separate place for each image; top, left: (B,)."""
    pixels = to_nhwc(images).contiguous()
    num, tall, wide, channels = pixels.shape
    # Every box of that size is a row of this view, so each image is copied in one piece.
    boxes = pixels.as_strided(
        (pixels.numel() // channels - (height - 1) * wide - width + 1, height, width * channels),
        (channels, wide * channels, 1),
    )
    begin = (np.arange(num) * tall + top) * wide + left
    return to_nchw(boxes.index_select(0, to_device(begin, images)).view(num, height, width, channels))


def randint(random_numbers: RandomNumbers, largest: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Maps numbers in [0, 1) to integers from 0 to `largest`, both included."""
    return (random_numbers * (largest + 1)).astype(np.int64)


def to_nhwc(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)  # (B, H, W, C)


def to_nchw(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2)  # (B, C, H, W)


def mask(chosen: NDArray[np.bool_], images: Tensor) -> Tensor:
    return to_device(chosen, images)[:, None, None, None]  # (B, 1, 1, 1)


def to_device(values: NDArray, images: Tensor) -> Tensor:
    tensor = torch.from_numpy(values)
    if images.is_cuda:  # copying memory that is not pinned may wait for the device
        tensor = tensor.pin_memory()
    return tensor.to(images.device, non_blocking=True)


register_augmentation("random_flip", random_flip, 1, GEOMETRY)
register_augmentation("random_crop", random_crop, 3, GEOMETRY)
register_augmentation("pad_crop", pad_crop, 2, GEOMETRY)
register_augmentation("channel_augment", channel_augment, 5, COLORS)
register_augmentation("random_erase", random_erase, NUM_ERASE_NUMBERS, ERASING)
register_augmentation("channel_erase", channel_erase, 3 * NUM_ERASE_NUMBERS, ERASING)
