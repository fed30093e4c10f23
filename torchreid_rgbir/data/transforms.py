"""Batched augmentation: images leave the workers as uint8, and a complete batch is augmented and normalized on the device.

A name that torchreid's `--transforms` has keeps torchreid's meaning. `pad_crop` is the crop of the two-stream methods (AGW's
public recipe), `channel_augment` and `channel_erase` are the augmentations of CAJ (Ye et al., ICCV 2021).

Every image has a row of random numbers, which are generated on the CPU: all devices augment alike, and nothing waits for the
device. Pixels are in memory as (B, H, W, 3), as they were decoded and as a channels-last model needs them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

PADDING = 10  # pixels on each side, as in the published two-stream recipe
ERASED_AREA = (0.02, 0.4)  # share of the image, as in torchreid
ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width, as in torchreid
NUM_ERASE_TRIES = 8  # random boxes per image, of which the first that fits is erased; one in ten to twenty does not fit

RandomNumbers = NDArray[np.float64]
Augmentation = Callable[[Tensor, RandomNumbers, Tensor], Tensor]


class Decode:
    """Resizes a PIL image as torchreid does and returns it as uint8 tensor (3, height, width), channels last in memory."""

    def __init__(self, height: int, width: int):
        self.size = (width, height)

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = np.asarray(image.resize(self.size, Image.Resampling.BILINEAR))  # (H, W, 3)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


class BatchTransforms:
    """Augments and normalizes batches on the device.

    Args:
        names: any of `AUGMENTATIONS`. They are applied in the order of that table, as in torchreid.
        mean, std: normalization of each channel, for images in [0, 1].
        seed: of the run.
        rgb, ir: additional names, for the images of one modality only.
        rank, world_size: this process's place among those that share a batch.

    Raises:
        ValueError: a name is unknown, or `channel_augment` is listed for IR images.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        seed: int = 0,
        rgb: Sequence[str] = (),
        ir: Sequence[str] = (),
        rank: int = 0,
        world_size: int = 1,
    ):
        names = [names] if isinstance(names, str) else list(names)
        for key, listed in (("transforms", names), ("transforms_rgb", rgb), ("transforms_ir", ir)):
            unknown = [name for name in listed if name not in AUGMENTATIONS]
            if unknown:
                raise ValueError(
                    f"data.{key}: unknown transform {unknown[0]!r}, choose from {', '.join(AUGMENTATIONS)}"
                )
        if "channel_augment" in ir:
            raise ValueError("data.transforms_ir: channel_augment is for RGB images, an IR image has one channel")
        self.rgb = [name for name in AUGMENTATIONS if name in names or name in rgb]
        self.ir = [name for name in AUGMENTATIONS if (name in names and name != "channel_augment") or name in ir]
        self.mean = torch.tensor(mean)
        self.std = torch.tensor(std)
        self.seed = seed
        self.rank = rank
        self.world_size = world_size

    def augment(self, images: Tensor, num_rgb: int, epoch: int, batch: int) -> Tensor:
        """Augments a training batch.

        Args:
            images: (B, 3, H, W) uint8, RGB images first.
            num_rgb: number of RGB images.
            epoch, batch: the random numbers depend only on (seed, epoch, batch) and on an image's place in the batch of all
                processes. A resumed run and a run on more processes use the same numbers.

        Returns:
            (B, 3, H, W), not normalized: uint8, or float32 in [0, 1] if an augmentation needs it.
        """
        self._move_constants(images)
        rng = np.random.default_rng([self.seed, epoch, batch])
        rgb, ir = (self._random_numbers(rng, num) for num in (num_rgb, len(images) - num_rgb))
        if self.rgb == self.ir:
            return self._apply(self.rgb, images, np.concatenate([rgb, ir]))
        halves = self._apply(self.rgb, images[:num_rgb], rgb), self._apply(self.ir, images[num_rgb:], ir)
        return torch.cat(halves if halves[0].dtype == halves[1].dtype else [to_unit(half) for half in halves])

    def normalize(self, images: Tensor) -> Tensor:
        """Normalizes images (B, 3, H, W), uint8 or float in [0, 1], to float32, channels last, as the model takes them."""
        self._move_constants(images)
        # One pass in place over complete rows of pixels: an inner loop over three channels would be slow.
        rows = _to_nhwc(images).flatten(2).to(torch.float32, copy=True)  # (B, H, W * 3)
        width, brightest = images.shape[3], 1 if images.is_floating_point() else 255
        scale, shift = (row.repeat(width) for row in (1 / (brightest * self.std), -self.mean / self.std))
        return _to_nchw(torch.addcmul(shift, rows, scale, out=rows).unflatten(2, (width, 3)))

    def _move_constants(self, images: Tensor) -> None:
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)

    def _random_numbers(self, rng: np.random.Generator, num: int) -> RandomNumbers:
        # Every augmentation has columns of its own, used or not: enabling one does not change the numbers of the others.
        num_columns = sum(num_columns for _, num_columns in AUGMENTATIONS.values())
        return rng.random((self.world_size, num, num_columns))[self.rank]

    def _apply(self, names: Sequence[str], images: Tensor, random_numbers: RandomNumbers) -> Tensor:
        fill = self.mean * self.std + self.mean  # torchreid also erases with the mean, but after normalization
        first = 0
        for name, (augmentation, num_columns) in AUGMENTATIONS.items():
            if name in names and len(images):
                images = augmentation(images, random_numbers[:, first : first + num_columns], fill)
            first += num_columns
        return images


def to_unit(images: Tensor) -> Tensor:
    """Converts uint8 to float32 in [0, 1]; floating-point images are returned as they are."""
    return images if images.is_floating_point() else images.float().div_(255)


# The augmentations. Arguments of each: images (B, 3, H, W) of any dtype, random numbers in [0, 1) with a row per image
# (B, n), and the color of erased pixels, fill (3,) in [0, 1]. Each returns images of the same shape and leaves its input as it is.


def random_flip(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """Mirrors each image with probability 0.5."""
    chosen = np.flatnonzero(random_numbers[:, 0] < 0.5)
    source = np.arange(len(images))
    source[chosen] = len(images) + np.arange(len(chosen))
    pixels = _to_nhwc(images)
    mirrored = pixels.index_select(0, _to_device(chosen, images)).flip(2)
    return _to_nchw(torch.cat([pixels, mirrored]).index_select(0, _to_device(source, images)))


def pad_crop(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """Pads 10 black pixels on each side and crops the original size at a random place."""
    top, left = (_randint(random_numbers[:, i], 2 * PADDING) for i in range(2))
    return _crop(F.pad(images, (PADDING,) * 4), top, left, *images.shape[2:])


def random_crop(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """As in torchreid: with probability 0.5, enlarges by 1.125 and crops the original size at a random place."""
    height, width = images.shape[2:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    images = to_unit(images)
    enlarged = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    top, left = _randint(random_numbers[:, 1], tall - height), _randint(random_numbers[:, 2], wide - width)
    cropped = _crop(enlarged, top, left, height, width)
    return torch.where(_mask(random_numbers[:, 0] < 0.5, images), cropped, images)


def channel_augment(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """With probability 0.5, turns an RGB image gray: one random channel or a random mix of all, repeated to three.

    After CAJ (Ye et al., ICCV 2021). There the four choices are equally likely too, and the fourth is the luma; here its
    weights are uniformly distributed over all weights of sum 1.
    """
    shares = -np.log1p(-random_numbers[:, 2:])
    mixes = shares / np.maximum(shares.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    choice = _randint(random_numbers[:, 1], 3)
    weights = np.where((choice < 3)[:, None], np.eye(4, 3)[choice], mixes)  # (B, 3)
    images = to_unit(images)
    mix = _to_device(weights.astype(np.float32), images)[:, :, None, None]  # (B, 3, 1, 1)
    gray = (images * mix).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.where(_mask(random_numbers[:, 0] < 0.5, images), gray, images)


def random_erase(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """As in torchreid: with probability 0.5, fills a box of 0.02 to 0.4 of the image, 0.3 to 3.3 times as high as wide."""
    images = to_unit(images)
    return torch.where(_boxes(images, random_numbers)[:, None], fill[:, None, None], images)


def channel_erase(images: Tensor, random_numbers: RandomNumbers, fill: Tensor) -> Tensor:
    """`random_erase` with a different box in each channel, after CAJ's channel-wise random erasing."""
    images = to_unit(images)
    boxes = torch.stack([_boxes(images, part) for part in np.split(random_numbers, 3, axis=1)], dim=1)  # (B, 3, H, W)
    return torch.where(boxes, fill[:, None, None], images)


NUM_ERASE_NUMBERS = 3 + 2 * NUM_ERASE_TRIES
AUGMENTATIONS: dict[str, tuple[Augmentation, int]] = {  # and the number of random numbers per image
    "random_flip": (random_flip, 1),
    "random_crop": (random_crop, 3),
    "pad_crop": (pad_crop, 2),
    "channel_augment": (channel_augment, 5),
    "random_erase": (random_erase, NUM_ERASE_NUMBERS),
    "channel_erase": (channel_erase, 3 * NUM_ERASE_NUMBERS),
}


def _boxes(images: Tensor, random_numbers: RandomNumbers) -> Tensor:
    """The pixels to erase in each image, (B, H, W)."""
    height, width = images.shape[2:]
    areas, aspects = np.split(random_numbers[:, 3:], 2, axis=1)  # (B, NUM_ERASE_TRIES) each
    area = height * width * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * areas)
    aspect = ERASED_ASPECT[0] + (ERASED_ASPECT[1] - ERASED_ASPECT[0]) * aspects
    high, wide = (np.rint(np.sqrt(size)).astype(np.int64) for size in (area * aspect, area / aspect))
    fits = (high < height) & (wide < width)
    rows, first = np.arange(len(random_numbers)), fits.argmax(1)
    high, wide = high[rows, first], wide[rows, first]  # (B,)
    erased = (random_numbers[:, 0] < 0.5) & fits.any(1)
    top, left = _randint(random_numbers[:, 1], height - high), _randint(random_numbers[:, 2], width - wide)
    y, x = np.arange(height), np.arange(width)
    inside_y = erased[:, None] & (y >= top[:, None]) & (y < (top + high)[:, None])  # (B, H)
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (B, W)
    return _to_device(inside_y, images)[:, :, None] & _to_device(inside_x, images)[:, None]


def _crop(images: Tensor, top: NDArray[np.int64], left: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Crops (height, width) from each image (B, C, H', W') at a place of its own; top, left: (B,)."""
    pixels = _to_nhwc(images).contiguous()
    num, tall, wide, channels = pixels.shape
    # Every box of that size is a row of this view, so each image is copied in one piece.
    boxes = pixels.as_strided(
        (pixels.numel() // channels - (height - 1) * wide - width + 1, height, width * channels),
        (channels, wide * channels, 1),
    )
    begin = (np.arange(num) * tall + top) * wide + left
    return _to_nchw(boxes.index_select(0, _to_device(begin, images)).view(num, height, width, channels))


def _randint(random_numbers: RandomNumbers, largest: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Maps numbers in [0, 1) to integers from 0 to `largest`, both included."""
    return (random_numbers * (largest + 1)).astype(np.int64)


def _to_nhwc(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)  # (B, H, W, C)


def _to_nchw(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2)  # (B, C, H, W)


def _mask(chosen: NDArray[np.bool_], images: Tensor) -> Tensor:
    return _to_device(chosen, images)[:, None, None, None]  # (B, 1, 1, 1)


def _to_device(values: NDArray, images: Tensor) -> Tensor:
    tensor = torch.from_numpy(values)
    if images.is_cuda:  # copying memory that is not pinned may wait for the device
        tensor = tensor.pin_memory()
    return tensor.to(images.device, non_blocking=True)
