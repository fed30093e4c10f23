"""Batched augmentation: images leave the workers as uint8, and a complete batch is augmented and normalized on the device.

Every image has rows of random numbers, which are generated on the CPU: all devices augment alike, and nothing waits for the
device. Pixels are in memory as (B, H, W, 3), as they were decoded and as a channels-last model needs them.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_rgbir.data.augmentations import AUGMENTATIONS, Colors, RandomNumbers, to_nchw, to_nhwc, to_unit

# The augmentations whose random numbers come from one generator, each from columns of its own, used or not. Enabling one does
# not change the numbers of the others. Every other augmentation has a generator of its own, so that adding one changes nothing.
SHARED_GENERATOR = ("random_flip", "random_crop", "pad_crop", "channel_augment", "random_erase", "channel_erase")


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
        names: any of `AUGMENTATIONS`. They are applied by stage and in the order of that table, as in torchreid.
        mean, std: normalization of each channel, for images in [0, 1].
        seed: of the run.
        rgb, ir: additional names, for the images of one modality only.
        rank, world_size: this process's place among those that share a batch.
        rgb2: additional names for a second view of each RGB image. If it is not empty, `augment` returns every RGB image
            twice: with the augmentations of RGB images, and with `names` and these, from new random numbers.

    Attributes:
        num_rgb_views: how often `augment` returns each RGB image, 1 or 2.

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
        rgb2: Sequence[str] = (),
    ):
        names = [names] if isinstance(names, str) else list(names)
        for key, listed in (("", names), ("_rgb", rgb), ("_ir", ir), ("_rgb2", rgb2)):
            unknown = [name for name in listed if name not in AUGMENTATIONS]
            if unknown:
                raise ValueError(
                    f"data.transforms{key}: unknown transform {unknown[0]!r}, choose from {', '.join(AUGMENTATIONS)}"
                )
        if "channel_augment" in ir:
            raise ValueError("data.transforms_ir: channel_augment is for RGB images, an IR image has one channel")
        ordered = sorted(AUGMENTATIONS, key=lambda name: AUGMENTATIONS[name].stage)
        self.rgb = [name for name in ordered if name in names or name in rgb]
        self.rgb2 = [name for name in ordered if name in names or name in rgb2]
        self.ir = [name for name in ordered if (name in names and name != "channel_augment") or name in ir]
        self.num_rgb_views = 2 if rgb2 else 1
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
            (B, 3, H, W), or (B + num_rgb, 3, H, W) with a second view of all RGB images after the first. Not normalized:
            uint8, or float32 in [0, 1] if an augmentation needs it.
        """
        self._move_constants(images)
        rgb, ir = images[:num_rgb], images[num_rgb:]
        second = rgb if self.num_rgb_views == 2 else rgb[:0]
        numbers, numbers_ir, numbers2 = self._random_numbers(epoch, batch, (len(rgb), len(ir), len(second)))
        if self.rgb == self.ir and self.num_rgb_views == 1:
            joined = {name: np.concatenate([numbers[name], numbers_ir[name]]) for name in numbers}
            return self._apply(self.rgb, images, joined)
        parts = [self._apply(self.rgb, rgb, numbers), self._apply(self.ir, ir, numbers_ir)]
        if self.num_rgb_views == 2:
            parts.insert(1, self._apply(self.rgb2, second, numbers2))
        return torch.cat(parts if len({part.dtype for part in parts}) == 1 else [to_unit(part) for part in parts])

    def normalize(self, images: Tensor) -> Tensor:
        """Normalizes images (B, 3, H, W), uint8 or float in [0, 1], to float32, channels last, as the model takes them."""
        self._move_constants(images)
        # One pass in place over complete rows of pixels: an inner loop over three channels would be slow.
        rows = to_nhwc(images).flatten(2).to(torch.float32, copy=True)  # (B, H, W * 3)
        width, brightest = images.shape[3], 1 if images.is_floating_point() else 255
        scale, shift = (row.repeat(width) for row in (1 / (brightest * self.std), -self.mean / self.std))
        return to_nchw(torch.addcmul(shift, rows, scale, out=rows).unflatten(2, (width, 3)))

    def _move_constants(self, images: Tensor) -> None:
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)

    def _random_numbers(self, epoch: int, batch: int, sizes: Sequence[int]) -> list[dict[str, RandomNumbers]]:
        """Returns the random numbers of each augmentation by name, for groups of images of these sizes."""
        found: list[dict[str, RandomNumbers]] = [{} for _ in sizes]
        used = {*self.rgb, *self.ir, *self.rgb2}
        generators = [SHARED_GENERATOR, *((name,) for name in AUGMENTATIONS if name in used - {*SHARED_GENERATOR})]
        for names in generators:
            key = [] if names is SHARED_GENERATOR else [crc32(names[0].encode())]
            rng = np.random.default_rng([self.seed, epoch, batch, *key])
            widths = [AUGMENTATIONS[name].num_numbers for name in names]
            for group, size in zip(found, sizes, strict=True):
                rows = rng.random((self.world_size, size, sum(widths)))[self.rank]
                group.update(zip(names, np.split(rows, np.cumsum(widths)[:-1], axis=1), strict=True))
        return found

    def _apply(self, names: Sequence[str], images: Tensor, random_numbers: dict[str, RandomNumbers]) -> Tensor:
        for name in names if len(images) else ():
            images = AUGMENTATIONS[name].function(images, random_numbers[name], Colors(self.mean, self.std))
        return images
