"""Weather and dirt among the corruptions of a corrupted test. `data.corruptions` says what each function takes and returns."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from scipy import ndimage

from torchreid_rgbir.data.blurs import Array, moved, zoomed

LUMA = np.array([0.299, 0.587, 0.114])
WATER, MUD, RAIN = (np.array(color) / 255 for color in ((175, 238, 238), (63, 42, 20), (200, 200, 200)))
FROST_TINT = np.array([-14, 0, 10]) / 255  # ice is bluish


def snow(image: Array, level: int, rng: Generator) -> Array:
    """Whitens the image and adds flakes that fall from above, once upright and once turned by 180 degrees."""
    mean, std, size, least, length, sigma, kept = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level - 1]
    flakes = zoomed(rng.normal(mean, std, size=(*image.shape[:2], 1)), size)
    flakes = moved(np.where(flakes < least, 0, flakes).clip(0, 1), length, sigma, rng.uniform(-135, -45))
    whitened = np.maximum(image, _luma(image) * 1.5 + 0.5)
    return kept * image + (1 - kept) * whitened + flakes + flakes[::-1, ::-1]


def frost(image: Array, level: int, rng: Generator) -> Array:
    """Adds ice. The published frost is cut from six photographs; this one is synthetic, with their range of gray values."""
    kept, added = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[level - 1]
    noise = rng.normal(size=image.shape[:2])
    scales = [ndimage.gaussian_filter(noise, sigma) for sigma in (0.7, 1.5, 3, 6)]
    crystals = np.exp(-2 * np.abs(sum(scale / scale.std() for scale in scales)))  # bright lines where the sum is 0
    crystals = (crystals - crystals.mean()) / crystals.std()
    ice = rng.uniform(85, 205) / 255 + rng.uniform(15, 38) / 255 * crystals[..., None] + FROST_TINT
    return kept * image + added * _colored(ice.clip(0, 1), image)


def fog(image: Array, level: int, rng: Generator) -> Array:
    strength, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[level - 1]
    height, width = image.shape[:2]
    clouds = _clouds(1 << (max(height, width) - 1).bit_length(), decay, rng)[:height, :width, None]
    brightest = image.max()
    return (image + strength * clouds) * brightest / (brightest + strength)


def rain(image: Array, level: int, rng: Generator) -> Array:
    """Draws gray streaks, blurs and darkens the image."""
    share, length = ((1 / 770, 10), (1 / 600, 30), (1 / 600, 30), (1 / 500, 60), (1 / 500, 60))[level - 1]
    height, width = image.shape[:2]
    slant = int(rng.uniform(-10, 10))
    streaks = Image.new("L", (width, height))
    draw = ImageDraw.Draw(streaks)
    for _ in range(int(height * width * share)):
        x, y = rng.integers(min(slant, 0), width - max(slant, 0) + 1), rng.integers(0, height - length + 1)
        draw.line((x, y, x + slant, y + length), fill=255)
    wet = np.where(np.asarray(streaks)[..., None] > 0, _colored(RAIN, image), image)
    return ndimage.uniform_filter(wet, (level + 2, level + 2, 0), mode="mirror") - 0.05 * (level + 1)


def spatter(image: Array, level: int, rng: Generator) -> Array:
    """Adds drops of water, which are brightest at their edges, at levels 1 to 3, and of mud at levels 4 and 5."""
    mean, std, sigma, least, strength = (
        (0.65, 0.3, 4, 0.69, 0.6),
        (0.65, 0.3, 3, 0.68, 0.6),
        (0.65, 0.3, 2, 0.68, 0.5),
        (0.65, 0.3, 1, 0.65, 1.5),
        (0.67, 0.4, 1, 0.65, 1.5),
    )[level - 1]
    liquid = ndimage.gaussian_filter(rng.normal(mean, std, size=image.shape[:2]), sigma, mode="nearest")
    drops = liquid >= least
    if level > 3:  # strength is the blur of the drops' edges
        cover = ndimage.gaussian_filter(drops.astype(float), strength, mode="nearest")[..., None]
        cover[cover < 0.8] = 0
        return image * (1 - cover) + cover * _colored(MUD, image)
    edges = drops ^ ndimage.binary_erosion(drops)
    if not edges.any():
        return image
    relief = _equalized(ndimage.uniform_filter(ndimage.distance_transform_edt(~edges).clip(0, 20), 3, mode="mirror"))
    light_from_below = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = ndimage.correlate(relief, light_from_below, mode="mirror").clip(0, 255)
    shine = np.where(drops, liquid, 0) * ndimage.uniform_filter(relief, 3, mode="mirror")
    return image + strength * (shine / max(shine.max(), 1e-9))[..., None] * _colored(WATER, image)


def _luma(image: Array) -> Array:
    return image if image.shape[-1] == 1 else image @ LUMA[:, None]


def _colored(color: Array, image: Array) -> Array:
    """A color, or the luma of it for a gray image."""
    return color if image.shape[2] == 3 else color @ LUMA[:, None]


def _clouds(size: int, decay: float, rng: Generator) -> Array:
    """A fractal surface (size, size) from 0 to 1 by the diamond-square algorithm; it continues from each side to the opposite one."""
    surface, amplitude = np.zeros((1, 1)), 1.0
    while len(surface) < size:
        finer = np.zeros((2 * len(surface), 2 * len(surface)))
        centers = _mean_of_two(_mean_of_two(surface, 0), 1) + rng.uniform(-amplitude, amplitude, surface.shape)
        finer[::2, ::2], finer[1::2, 1::2] = surface, centers
        for axis, edges in ((1, finer[::2, 1::2]), (0, finer[1::2, ::2])):
            around = (_mean_of_two(surface, axis) + _mean_of_two(centers, 1 - axis, -1)) / 2
            edges[:] = around + rng.uniform(-amplitude, amplitude, surface.shape)
        surface, amplitude = finer, amplitude / decay**2
    surface -= surface.min()
    return surface / surface.max()


def _mean_of_two(surface: Array, axis: int, step: int = 1) -> Array:
    """The mean of each value and the next one (step 1) or the one before (step -1)."""
    return (surface + np.roll(surface, -step, axis)) / 2


def _equalized(values: Array) -> Array:
    """Values of 0 to 255 whose histogram is flat."""
    _, places, counts = np.unique(values.astype(np.uint8), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - counts[0]
    return (255 * ranks / max(ranks[-1], 1))[places].reshape(values.shape)
