"""Batched augmentation: pictures leave the workers as uint8 and are cropped, flipped and normalized on the device, a whole batch at a time.

Names are those of torchreid's `--transforms`; a name that torchreid has keeps torchreid's meaning. `pad_crop` is the crop of the two-stream methods
(AGW's public recipe), `channel_augment` and `channel_erase` are the augmentations of CAJ (Ye et al., ICCV 2021).

Every image has a row of random numbers, drawn on the CPU, so that every device augments alike and nothing waits for the device. Pixels lie in
memory as (B, H, W, 3), as they were decoded and as a channels-last model wants them.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

PADDING = 10  # pixels on each side, the published two-stream recipe
ERASED_AREA = (0.02, 0.4)  # of the image, torchreid's
ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width, torchreid's
BOXES = 8  # drawn for an erasure, of which the first that fits is taken; a box does not fit once in ten or twenty draws

Draws = NDArray[np.float64]
Augmentation = Callable[[Tensor, Draws, Tensor], Tensor]


class Decode:
    """A PIL image to a uint8 tensor (3, height, width), channels last in memory: torchreid's Resize and ToTensor without the floats."""

    def __init__(self, height: int, width: int):
        self.size = (width, height)

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = np.asarray(image.resize(self.size, Image.Resampling.BILINEAR))  # (H, W, 3)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


class BatchTransforms:
    """What happens to a batch on the device.

    Args:
        names: torchreid's `--transforms`, any of `AUGMENTATIONS`; they are applied in the order of that table, as torchreid's are.
        mean, std: of each channel, of images in [0, 1].
        seed: of the whole run.
        rgb, ir: further names, for the images of one modality only.
        rank, world_size: this process's place among those that share a batch.

    Raises:
        ValueError: an unknown name, or `channel_augment` for IR images.
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
            images: (B, 3, H, W) uint8, RGB half first.
            num_rgb: size of that half.
            epoch, batch: draws depend on (seed, epoch, batch) and an image's place in the batch of all processes alone, so a resumed run draws
                the same, and so do two processes in the place of one.

        Returns:
            (B, 3, H, W) un-normalized: uint8, or float32 in [0, 1] where an augmentation makes it so.
        """
        self._follow(images)
        rng = np.random.default_rng([self.seed, epoch, batch])
        rgb, ir = (self._draw(rng, num) for num in (num_rgb, len(images) - num_rgb))
        if self.rgb == self.ir:
            return self._apply(self.rgb, images, np.concatenate([rgb, ir]))
        halves = self._apply(self.rgb, images[:num_rgb], rgb), self._apply(self.ir, images[num_rgb:], ir)
        return torch.cat(halves if halves[0].dtype == halves[1].dtype else [to_unit(half) for half in halves])

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 or float in [0, 1], to what the model takes: float32, channels last."""
        self._follow(images)
        # One pass in place over whole rows of pixels: three channels alone are too short an inner loop, and memory is what takes the time.
        rows = _pixels(images).flatten(2).to(torch.float32, copy=True)  # (B, H, W * 3)
        width, brightest = images.shape[3], 1 if images.is_floating_point() else 255
        scale, shift = (row.repeat(width) for row in (1 / (brightest * self.std), -self.mean / self.std))
        return _images(torch.addcmul(shift, rows, scale, out=rows).unflatten(2, (width, 3)))

    def _follow(self, images: Tensor) -> None:
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)

    def _draw(self, rng: np.random.Generator, num: int) -> Draws:
        # Every augmentation has its own columns, used or not: switching one on leaves the draws of the others as they are.
        num_columns = sum(num_draws for _, num_draws in AUGMENTATIONS.values())
        return rng.random((self.world_size, num, num_columns))[self.rank]

    def _apply(self, names: Sequence[str], images: Tensor, draws: Draws) -> Tensor:
        fill = self.mean * self.std + self.mean  # torchreid erases with the mean too, but after normalization
        first = 0
        for name, (augmentation, num_draws) in AUGMENTATIONS.items():
            if name in names and len(images):
                images = augmentation(images, draws[:, first : first + num_draws], fill)
            first += num_draws
        return images


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; floats pass."""
    return images if images.is_floating_point() else images.float().div_(255)


# The augmentations. Each takes images (B, 3, H, W) in any dtype, an image's own random numbers in [0, 1) as a row of draws (B, n), and what an erased
# pixel becomes, fill (3,) in [0, 1]; each leaves its input alone and returns images of the same shape.


def random_flip(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """Mirrors each image with probability 0.5."""
    chosen = np.flatnonzero(draws[:, 0] < 0.5)
    source = np.arange(len(images))
    source[chosen] = len(images) + np.arange(len(chosen))
    pixels = _pixels(images)
    mirrored = pixels.index_select(0, _to(chosen, images)).flip(2)
    return _images(torch.cat([pixels, mirrored]).index_select(0, _to(source, images)))


def pad_crop(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """Pads 10 black pixels on each side and cuts the old size out at a random place."""
    top, left = (_whole(draws[:, i], 2 * PADDING) for i in range(2))
    return _crop(F.pad(images, (PADDING,) * 4), top, left, *images.shape[2:])


def random_crop(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """torchreid's: with probability 0.5, enlarges by 1.125 and cuts the old size out at a random place."""
    height, width = images.shape[2:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    images = to_unit(images)
    enlarged = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    cropped = _crop(enlarged, _whole(draws[:, 1], tall - height), _whole(draws[:, 2], wide - width), height, width)
    return torch.where(_mask(draws[:, 0] < 0.5, images), cropped, images)


def channel_augment(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """Half of the images become gray: one random channel, or a random mix of them, repeated to three; of RGB images alone.

    After CAJ (Ye et al., ICCV 2021), where each of the four is drawn alike and the fourth is the luma; the mix is even over all weights of sum 1.
    """
    shares = -np.log1p(-draws[:, 2:])
    mixes = shares / np.maximum(shares.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    choice = _whole(draws[:, 1], 3)
    weights = np.where((choice < 3)[:, None], np.eye(4, 3)[choice], mixes)  # (B, 3)
    images = to_unit(images)
    gray = (images * _to(weights.astype(np.float32), images)[:, :, None, None]).sum(1, keepdim=True)  # (B, 1, H, W)
    return torch.where(_mask(draws[:, 0] < 0.5, images), gray, images)


def random_erase(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """torchreid's: with probability 0.5, a box of 0.02 to 0.4 of the image, 0.3 to 3.3 times as high as wide, is filled."""
    images = to_unit(images)
    return torch.where(_boxes(images, draws)[:, None], fill[:, None, None], images)


def channel_erase(images: Tensor, draws: Draws, fill: Tensor) -> Tensor:
    """`random_erase` of each channel on its own, after CAJ's channel-wise random erasing."""
    images = to_unit(images)
    boxes = torch.stack([_boxes(images, part) for part in np.split(draws, 3, axis=1)], dim=1)  # (B, 3, H, W)
    return torch.where(boxes, fill[:, None, None], images)


ERASE_DRAWS = 3 + 2 * BOXES
AUGMENTATIONS: dict[str, tuple[Augmentation, int]] = {  # and how many random numbers an image needs
    "random_flip": (random_flip, 1),
    "random_crop": (random_crop, 3),
    "pad_crop": (pad_crop, 2),
    "channel_augment": (channel_augment, 5),
    "random_erase": (random_erase, ERASE_DRAWS),
    "channel_erase": (channel_erase, 3 * ERASE_DRAWS),
}


def _boxes(images: Tensor, draws: Draws) -> Tensor:
    """Where each image is erased, (B, H, W)."""
    height, width = images.shape[2:]
    area = height * width * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * draws[:, 3 : 3 + BOXES])  # (B, BOXES)
    aspect = ERASED_ASPECT[0] + (ERASED_ASPECT[1] - ERASED_ASPECT[0]) * draws[:, 3 + BOXES :]
    high, wide = (np.rint(np.sqrt(size)).astype(np.int64) for size in (area * aspect, area / aspect))
    fits = (high < height) & (wide < width)
    rows, first = np.arange(len(draws)), fits.argmax(1)
    high, wide = high[rows, first], wide[rows, first]  # (B,)
    erased = (draws[:, 0] < 0.5) & fits.any(1)
    top, left = _whole(draws[:, 1], height - high), _whole(draws[:, 2], width - wide)
    y, x = np.arange(height), np.arange(width)
    inside_y = erased[:, None] & (y >= top[:, None]) & (y < (top + high)[:, None])  # (B, H)
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])  # (B, W)
    return _to(inside_y, images)[:, :, None] & _to(inside_x, images)[:, None]


def _crop(images: Tensor, top: NDArray[np.int64], left: NDArray[np.int64], height: int, width: int) -> Tensor:
    """Cuts (height, width) out of each image (B, C, H', W') at its own place, (B,) each."""
    pixels = _pixels(images).contiguous()
    num, tall, wide, channels = pixels.shape
    # Every box of that size, wherever it begins, is a row of this view, and a box is copied in one piece.
    boxes = pixels.as_strided(
        (pixels.numel() // channels - (height - 1) * wide - width + 1, height, width * channels),
        (channels, wide * channels, 1),
    )
    begin = (np.arange(num) * tall + top) * wide + left
    return _images(boxes.index_select(0, _to(begin, images)).view(num, height, width, channels))


def _whole(draws: Draws, largest: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in [0, 1) to whole numbers, 0 to the largest, which is included."""
    return (draws * (largest + 1)).astype(np.int64)


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1)  # (B, H, W, C)


def _images(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2)  # (B, C, H, W)


def _mask(chosen: NDArray[np.bool_], images: Tensor) -> Tensor:
    return _to(chosen, images)[:, None, None, None]  # (B, 1, 1, 1)


def _to(drawn: NDArray, images: Tensor) -> Tensor:
    values = torch.from_numpy(drawn)
    if images.is_cuda:  # a copy of memory that is not pinned may wait for the device
        values = values.pin_memory()
    return values.to(images.device, non_blocking=True)
