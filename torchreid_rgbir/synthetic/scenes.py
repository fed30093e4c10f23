"""Cameras, the places that they look at, light and noise. No outside source."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from torchreid_rgbir.modality import IR

SUPERSAMPLING = 2  # images are rendered larger by this factor and then reduced, for smooth edges

Color = tuple[int, int, int]

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_PLACE, _TONES, _LIGHT = 10, 11, 12


class Camera(NamedTuple):
    """A camera: its number (>= 1), modality, the place that it looks at (cameras may share one), and whether it is indoors."""

    number: int
    modality: int
    place: int
    indoor: bool


def gray(reflectance: float) -> Color:
    """A reflectance in [0, 1] as three equal channels."""
    value = round(255 * reflectance)
    return value, value, value


def muted(rgb: NDArray) -> NDArray:
    """A color (3,) moved towards gray, as most cloth and walls are."""
    return 0.85 * rgb + 0.15 * rgb.mean()


def color(rgb: NDArray) -> Color:
    """Three numbers in [0, 256) as integers."""
    red, green, blue = (int(value) for value in rgb)
    return red, green, blue


@lru_cache(maxsize=64)  # a data set has at most 17; one takes as long to render as ten people
def scene(seed: int, place: int, modality: int, indoor: bool, size: tuple[int, int]) -> Image.Image:
    """A place, twice as wide as a (supersampled) image of `size`.

    Both modalities see the same objects in unrelated tones. In IR the background is dark, since the lamps do not reach it.
    """
    rng = np.random.default_rng([seed, place, _PLACE])
    tones = np.random.default_rng([seed, place, modality, _TONES])

    def tone() -> Color:
        return gray(tones.uniform(0.12, 0.28)) if modality == IR else color(muted(tones.uniform(40, 180, 3)))

    width, height = 2 * size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    image = Image.new("RGB", (width, height), tone())
    draw = ImageDraw.Draw(image)
    horizon = height * rng.uniform(0.5, 0.7)
    for _ in range(8):  # doors, cupboards and posters on a wall; houses against the sky
        x, half = rng.uniform(0, width), width * rng.uniform(0.03, 0.12)
        top = horizon * rng.uniform(0.0, 0.6)
        bottom = horizon * rng.uniform(0.7, 1.0) if indoor else horizon
        draw.rectangle((x - half, top, x + half, bottom), fill=tone())
    draw.rectangle((0, horizon, width, height), fill=tone())
    if indoor:
        floor = tone()
        for x in np.linspace(-width, 2 * width, 14):  # the joints of floor tiles, running to a vanishing point
            draw.line((width / 2 + (x - width / 2) * 0.4, horizon, x, height), fill=floor, width=3)
    else:
        for _ in range(4):
            x, crown = rng.uniform(0, width), width * rng.uniform(0.04, 0.1)
            draw.line((x, horizon * 0.3, x, horizon * 1.05), fill=tone(), width=max(2, width // 50))
            draw.ellipse((x - crown, horizon * 0.3 - crown, x + crown, horizon * 0.3 + 1.5 * crown), fill=tone())
        draw.ellipse((width * 0.1, horizon * 1.15, width * rng.uniform(0.5, 0.9), horizon * 1.3), fill=tone())
    return image.filter(ImageFilter.GaussianBlur(width / 40))


def expose(pixels: NDArray[np.float32], seed: int, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Applies the camera's constant light, then the image's brightness, color cast and noise.  pixels: (H, W, 3), 0-255."""
    return add_noise(lit(pixels, seed, camera, rng), camera, rng)


def lit(pixels: NDArray[np.float32], seed: int, camera: Camera, rng: np.random.Generator) -> NDArray[np.float32]:
    """The light of the camera and of the moment, without noise.  pixels: (H, W, 3), 0-255."""
    light = np.random.default_rng([seed, camera.number, camera.modality, _LIGHT])
    across = np.linspace(-1, 1, pixels.shape[1], dtype=np.float32)[None, :, None]  # (1, W, 1)
    slope = light.uniform(-0.15, 0.15) * across
    pixels = pixels * ((1 + slope) * (light.uniform(0.93, 1.03) * rng.uniform(0.77, 1.17)))
    if camera.modality != IR:
        cast = light.uniform(0.93, 1.07, 3) * rng.uniform(0.9, 1.1, 3)
        pixels = pixels * cast.astype(np.float32)
    return pixels


def add_noise(pixels: NDArray[np.float32], camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The noise of the camera.  pixels: (H, W, 3), 0-255."""
    sigma = 10 if camera.modality == IR else 5
    pixels = pixels + sigma * rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32)
    return pixels.clip(0, 255).astype(np.uint8)


def draw_furniture(image: Image.Image, modality: int, rng: np.random.Generator) -> None:
    """Draws a bin, a post, a fence or a wall into the foreground of an image."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    tone = gray(rng.uniform(0.15, 0.7)) if modality == IR else color(muted(rng.uniform(30, 200, 3)))
    kind = ("bin", "post", "fence", "wall")[rng.integers(4)]
    x, top = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.55, 0.7)
    if kind == "bin":
        half = width * rng.uniform(0.18, 0.28)
        draw.rectangle((x - half, top, x + half, height), fill=tone)
        draw.ellipse((x - half, top - half * 0.35, x + half, top + half * 0.35), fill=tone)
    elif kind == "post":
        half = width * rng.uniform(0.06, 0.12)
        draw.rectangle((x - half, 0, x + half, height), fill=tone)
    elif kind == "fence":
        thick = max(1, round(width * 0.05))
        for rail in np.linspace(top, height * 0.95, 3):
            draw.line((0, rail, width, rail), fill=tone, width=thick)
        for left in np.arange(x % (width * 0.2), width, width * 0.2):
            draw.line((left, top, left, height), fill=tone, width=thick)
    else:
        draw.rectangle((0, top, width, height), fill=tone)
