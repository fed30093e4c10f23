"""The twenty corruptions of a corrupted test, each in five levels.

Formulas and levels are those of ImageNet-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", ICLR 2019). Rain is the addition of Chen, Wang and Zheng ("Benchmarks for Corruption Invariant
Person Re-identification", NeurIPS 2021, Datasets and Benchmarks). Lengths are in pixels of an image of 288 x 144.

Every function takes an image (H, W, C) with C = 3, or C = 1 for gray, values from 0 to 1, a level from 1 to 5, and a generator
of random numbers. It returns an image of the same shape, whose values may leave the range.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from torchreid_rgbir.data.blurs import Array, defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from torchreid_rgbir.data.weather import fog, frost, rain, snow, spatter


def corrupt(image: Image.Image, name: str, level: int, rng: Generator) -> Image.Image:
    """Corrupts an image.

    Args:
        image: of mode "RGB", or "L" for an image that stays gray; at least 64 x 64 pixels.
        name: one of `CORRUPTIONS`.
        level: from 1 (weak) to 5 (strong).
        rng: where the corruption is random, it depends on this generator only.

    Returns:
        The corrupted image, of the same size and mode.

    Raises:
        ValueError: the corruption or the level does not exist.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption {name} is unknown: choose from {', '.join(CORRUPTIONS)}")
    if level not in range(1, 6):
        raise ValueError(f"level {level} does not exist: choose 1 to 5")
    return _to_image(CORRUPTIONS[name](_to_array(image), level, rng))


def gaussian_noise(image: Array, level: int, rng: Generator) -> Array:
    return image + rng.normal(scale=(0.08, 0.12, 0.18, 0.26, 0.38)[level - 1], size=image.shape)


def shot_noise(image: Array, level: int, rng: Generator) -> Array:
    photons = (60, 25, 12, 5, 3)[level - 1]  # of a white pixel
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Array, level: int, rng: Generator) -> Array:
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[level - 1]
    hit, is_white = rng.random(image.shape) < share, rng.random(image.shape) < 0.5
    return np.where(hit, is_white, image)


def speckle_noise(image: Array, level: int, rng: Generator) -> Array:
    return image * (1 + rng.normal(scale=(0.15, 0.2, 0.35, 0.45, 0.6)[level - 1], size=image.shape))


def brightness(image: Array, level: int, rng: Generator) -> Array:
    """Adds to the value of HSV. Hue and saturation stay."""
    value = image.max(axis=2, keepdims=True)
    brighter = (value + (0.1, 0.2, 0.3, 0.4, 0.5)[level - 1]).clip(0, 1)
    return np.where(value > 0, image * brighter / np.maximum(value, 1e-9), brighter)


def saturate(image: Array, level: int, rng: Generator) -> Array:
    """Scales the saturation of HSV, and adds to it. Gray has the hue of red, so levels 4 and 5 make it reddish."""
    factor, added = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[level - 1]
    value = image.max(axis=2, keepdims=True)
    saturation = 1 - image.min(axis=2, keepdims=True) / np.maximum(value, 1e-9)
    gap = np.where(
        saturation > 0, (value - image) / np.maximum(saturation, 1e-9), value * np.array([0, 1, 1])[: image.shape[2]]
    )
    return value - gap * (saturation * factor + added).clip(0, 1)


def contrast(image: Array, level: int, rng: Generator) -> Array:
    mean = image.mean(axis=(0, 1))
    return mean + (image - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[level - 1]


def elastic_transform(image: Array, level: int, rng: Generator) -> Array:
    height, width = image.shape[:2]
    most, strength = 0.005 * height, (12.5, 16.25, 21.25, 25, 30)[level - 1]
    shifts = rng.uniform(-most, most, size=(2, height, width))
    down, right = strength * ndimage.gaussian_filter(shifts, (0, 0.01 * height, 0.01 * width), truncate=3)
    y, x = np.mgrid[:height, :width]
    channels = [
        ndimage.map_coordinates(channel, (y + down, x + right), order=1, mode="reflect")
        for channel in np.moveaxis(image, 2, 0)
    ]
    return np.stack(channels, axis=2)


def pixelate(image: Array, level: int, rng: Generator) -> Array:
    scale, fine = (0.6, 0.5, 0.4, 0.3, 0.25)[level - 1], _to_image(image)
    coarse = fine.resize((int(fine.width * scale), int(fine.height * scale)), Image.Resampling.BOX)
    return _to_array(coarse.resize(fine.size, Image.Resampling.NEAREST))


def jpeg_compression(image: Array, level: int, rng: Generator) -> Array:
    file = io.BytesIO()
    _to_image(image).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[level - 1])
    with Image.open(file) as compressed:
        return _to_array(compressed)


# In the published order, which decides what a random number selects.
CORRUPTIONS: dict[str, Callable[[Array, int, Generator], Array]] = {
    function.__name__: function
    for function in (
        *(gaussian_noise, shot_noise, impulse_noise),
        *(defocus_blur, glass_blur, motion_blur, zoom_blur),
        *(snow, frost, fog, brightness),
        *(contrast, elastic_transform, pixelate, jpeg_compression),
        *(speckle_noise, gaussian_blur, spatter, saturate),
        rain,
    )
}


def _to_array(image: Image.Image) -> Array:
    pixels = np.asarray(image) / 255
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _to_image(array: Array) -> Image.Image:
    pixels = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
