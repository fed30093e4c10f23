"""Batched augmentation: pictures leave the workers as uint8 and are cropped, flipped and normalised on the device, a whole batch at a time.

Names are those of torchreid's `--transforms`; a name that torchreid has keeps torchreid's meaning. `pad_crop` is the crop of the two-stream methods
(AGW's public recipe) and `channel_augment` the grey-channel augmentation of CAJ (Ye et al., ICCV 2021).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

PADDING = 10  # pixels on each side, the published two-stream recipe
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601

Augmentation = Callable[[Tensor, int, torch.Generator], Tensor]


class Decode:
    """A PIL image to a uint8 tensor (3, height, width): what torchreid's Resize and ToTensor do, without the floats."""

    def __init__(self, height: int, width: int):
        self.size = (width, height)

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = np.asarray(image.resize(self.size, Image.Resampling.BILINEAR))  # (H, W, 3)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


class BatchTransforms:
    """What happens to a batch on the device.

    Args:
        names: torchreid's `--transforms`, any of `AUGMENTATIONS`; they are applied in the order of that table, as torchreid's are.
        mean, std: of each channel, of images in [0, 1].
        seed: of the whole run.

    Raises:
        ValueError: an unknown name.
    """

    def __init__(self, names: str | Sequence[str], mean: Sequence[float], std: Sequence[float], seed: int = 0):
        names = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in names if name not in AUGMENTATIONS]
        if unknown:
            raise ValueError(
                f"data.transforms: unknown transform {unknown[0]!r}, choose from {', '.join(AUGMENTATIONS)}"
            )
        self.steps = [step for name, step in AUGMENTATIONS.items() if name in names]
        self.mean = torch.tensor(mean).view(1, 3, 1, 1)
        self.std = torch.tensor(std).view(1, 3, 1, 1)
        self.seed = seed

    def augment(self, images: Tensor, num_rgb: int, epoch: int, batch: int) -> Tensor:
        """Augments a training batch.

        Args:
            images: (B, 3, H, W) uint8, RGB half first.
            num_rgb: size of that half.
            epoch, batch: draws depend on (seed, epoch, batch) alone, so a resumed run draws the same.

        Returns:
            (B, 3, H, W) float32 in [0, 1], un-normalised.
        """
        # Drawn on the CPU, so that every device augments alike and nothing waits for the device.
        state = np.random.SeedSequence([self.seed, epoch, batch]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        for step in self.steps:
            images = step(images, num_rgb, generator)
        return to_unit(images)

    def normalize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8 or float in [0, 1], to what the model takes."""
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)
        # Channels-last, as the model's weights are kept: the convolutions need no reordering of their own.
        return ((to_unit(images) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; floats pass."""
    return images if images.is_floating_point() else images.float() / 255


def random_flip(images: Tensor, num_rgb: int, generator: torch.Generator) -> Tensor:
    """Mirrors each image with probability 0.5.  images: (B, C, H, W), any dtype."""
    flipped = torch.rand(len(images), generator=generator) < 0.5
    mask = _to(flipped, images).view(-1, 1, 1, 1)
    return torch.where(mask, images.flip(3), images)


def pad_crop(images: Tensor, num_rgb: int, generator: torch.Generator) -> Tensor:
    """Pads 10 black pixels on each side and cuts the old size out at a random place.  images: (B, C, H, W), any dtype."""
    height, width = images.shape[2:]
    padded = F.pad(images, (PADDING,) * 4)
    top, left = (torch.randint(2 * PADDING + 1, (len(images),), generator=generator) for _ in range(2))
    return _crop(padded, top, left, height, width)


def random_crop(images: Tensor, num_rgb: int, generator: torch.Generator) -> Tensor:
    """torchreid's: with probability 0.5, enlarges by 1.125 and cuts the old size out at a random place.  images: (B, C, H, W)."""
    height, width = images.shape[2:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    images = to_unit(images)
    enlarged = F.interpolate(images, (tall, wide), mode="bilinear", align_corners=False)
    chosen = torch.rand(len(images), generator=generator) < 0.5
    top = torch.randint(tall - height + 1, (len(images),), generator=generator)
    left = torch.randint(wide - width + 1, (len(images),), generator=generator)
    return torch.where(_to(chosen, images).view(-1, 1, 1, 1), _crop(enlarged, top, left, height, width), images)


def channel_augment(images: Tensor, num_rgb: int, generator: torch.Generator) -> Tensor:
    """Half of the RGB images become grey: one random channel, or their luma, repeated to three; IR images stay.

    After CAJ (Ye et al., ICCV 2021), where each of the four is drawn alike.  images: (B, 3, H, W), RGB half first.
    """
    choice = torch.randint(4, (num_rgb,), generator=generator)
    chosen = torch.rand(num_rgb, generator=generator) < 0.5
    weights = torch.cat([torch.eye(3), torch.tensor([LUMA])])[choice]  # (num_rgb, 3)
    images = to_unit(images)
    rgb = images[:num_rgb]
    grey = (rgb * _to(weights, images).view(-1, 3, 1, 1)).sum(1, keepdim=True)  # (num_rgb, 1, H, W)
    return torch.cat([torch.where(_to(chosen, images).view(-1, 1, 1, 1), grey, rgb), images[num_rgb:]])


def _crop(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Cuts (height, width) out of each image at its own place.  images: (B, C, H', W'); top, left: (B,)."""
    rows = top[:, None] + torch.arange(height)  # (B, H)
    columns = left[:, None] + torch.arange(width)  # (B, W)
    place = (rows[:, :, None] * images.shape[3] + columns[:, None, :]).flatten(1)  # (B, H * W)
    place = _to(place, images)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, place).view(*images.shape[:2], height, width)


def _to(drawn: Tensor, images: Tensor) -> Tensor:
    return drawn.to(images.device, non_blocking=True)


AUGMENTATIONS: dict[str, Augmentation] = {
    "random_flip": random_flip,
    "random_crop": random_crop,
    "pad_crop": pad_crop,
    "channel_augment": channel_augment,
}
