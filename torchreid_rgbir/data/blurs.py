"""The blurs among the corruptions of a corrupted test. `data.corruptions` says what each function takes and returns."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, signal

Array = NDArray[np.floating]


def gaussian_blur(image: Array, level: int, rng: Generator) -> Array:
    return _blurred(image, (1, 2, 3, 4, 6)[level - 1])


def glass_blur(image: Array, level: int, rng: Generator) -> Array:
    """Replaces each pixel by a random neighbor, from the last pixel to the first, between two blurs. (The paper describes swaps;
    the public code copies.)"""
    sigma, reach, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level - 1]
    height, width = image.shape[:2]
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    here = (rows[:, None] * width + columns).ravel()
    order = list(range(height * width))
    for _ in range(rounds):
        down, right = rng.integers(-reach, reach, size=(2, here.size))
        for a, b in zip(here.tolist(), (here + down * width + right).tolist(), strict=True):
            order[a] = order[b]
    shuffled = _blurred(image, sigma).reshape(height * width, -1)[order]
    return _blurred(shuffled.reshape(image.shape), sigma)


def defocus_blur(image: Array, level: int, rng: Generator) -> Array:
    """Blurs by a disk with a soft edge."""
    radius, softness = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[level - 1]
    reach = radius + 2
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk = ndimage.gaussian_filter((x**2 + y**2 <= radius**2).astype(float), softness, radius=1)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    return signal.fftconvolve(padded, disk[..., None] / disk.sum(), "valid", axes=(0, 1))


def motion_blur(image: Array, level: int, rng: Generator) -> Array:
    length, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level - 1]
    return moved(image, length, sigma, rng.uniform(-45, 45))


def zoom_blur(image: Array, level: int, rng: Generator) -> Array:
    largest, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level - 1]
    return np.mean([image, *(zoomed(image, factor) for factor in np.arange(1, largest, step))], axis=0)


def _blurred(image: Array, sigma: float) -> Array:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")


def zoomed(image: Array, factor: float) -> Array:
    """The center of an image, enlarged to its size."""
    height, width = image.shape[:2]
    across, down = width / factor / 2, height / factor / 2
    box = (width / 2 - across, height / 2 - down, width / 2 + across, height / 2 + down)
    channels = (Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(image, 2, 0))
    larger = (channel.resize((width, height), Image.Resampling.BILINEAR, box) for channel in channels)
    return np.stack([np.asarray(channel) for channel in larger], axis=2)


def moved(image: Array, length: int, sigma: float, angle: float) -> Array:
    """The mean over a path of 2 x `length` pixels from each pixel on, at an angle in degrees, with the weights of half a Gaussian."""
    steps = np.arange(2 * length + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    downs, rights = (
        np.ceil(steps * part - 0.5).astype(int) for part in (np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle)))
    )
    height, width = image.shape[:2]
    reach = 2 * length
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "edge")
    blurred = np.zeros_like(image)
    for weight, down, right in zip(weights / weights.sum(), downs + reach, rights + reach, strict=True):
        blurred += weight * padded[down : down + height, right : right + width]
    return blurred
