"""Renders the images of a synthetic data set: one function per preset, and the version of each preset. No outside source.

An image depends only on (seed, pid, camera, number): it is the same in every process.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from torchreid_rgbir.modality import IR
from torchreid_rgbir.synthetic.disturbances import Conditions, apply_sensor, conditions_of, homography, motion_blur
from torchreid_rgbir.synthetic.figure import BACK, FRONT, SIDE, draw_person, random_pose
from torchreid_rgbir.synthetic.people import paint_of, shape_of
from torchreid_rgbir.synthetic.scenes import SUPERSAMPLING, Camera, draw_furniture, expose, scene

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_IMAGE, _HARD_IMAGE, _SENSOR = 3, 20, 24
_VIEWS = {"front": FRONT, "back": BACK, "side": SIDE}
_PASSERS_BY = 10_000  # no data set has identities with this number or a higher one


def render_standard(
    seed: int, pid: int, camera: Camera, number: int, size: tuple[int, int] = (64, 128)
) -> NDArray[np.uint8]:
    """Renders image `number` of identity `pid` as `camera` sees it: the complete person in even light.

    Args:
        seed: of the data set, >= 0.
        pid: the identity, >= 0.
        camera: its place and modality.
        number: of the image. It determines pose, place in the image, crop of the background, light and noise.
        size: width and height of the image in pixels.

    Returns:
        (H, W, 3) uint8, with three equal channels for IR.
    """
    rng = np.random.default_rng([seed, pid, camera.number, camera.modality, number, _IMAGE])
    image = _background(seed, camera, size, rng)
    draw_person(image, shape_of(seed, pid), paint_of(seed, pid, camera.modality), random_pose(rng))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9) * size[0] / 64))
    return expose(np.asarray(image, dtype=np.float32), seed, camera, rng)


def render_hard(
    seed: int, pid: int, camera: Camera, number: int, size: tuple[int, int] = (64, 128)
) -> NDArray[np.uint8]:
    """Renders the same people and places under the image's `conditions_of`; arguments and result as in `render_standard`."""
    return render_under(conditions_of(seed, pid, camera, number), seed, pid, camera, number, size)


def render_under(
    conditions: Conditions, seed: int, pid: int, camera: Camera, number: int, size: tuple[int, int] = (64, 128)
) -> NDArray[np.uint8]:
    """As `render_hard`, but under given conditions."""
    numbers = [seed, pid, camera.number, camera.modality, number]
    rng, sensor = np.random.default_rng([*numbers, _HARD_IMAGE]), np.random.default_rng([*numbers, _SENSOR])
    image = _background(seed, camera, size, rng)
    _add_person(image, seed, pid, camera, conditions, rng)
    if conditions.occluder == "passer-by":
        passer_by = int(rng.integers(_PASSERS_BY, 2 * _PASSERS_BY))
        beside = rng.choice([-1, 1]) * rng.uniform(0.1, 0.3), 0.05
        mirrored, zoom = bool(rng.integers(2)), rng.uniform(0.95, 1.2)
        passing = dataclasses.replace(conditions, view="side", mirrored=mirrored, zoom=zoom, shift=beside)
        _add_person(image, seed, passer_by, camera, passing, rng)
    elif conditions.occluder == "furniture":
        draw_furniture(image, camera.modality, rng)
    pixel = size[0] / 64
    image = image.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur((0.3 + conditions.defocus) * pixel))
    seen = max(8, round(size[0] * conditions.reduction)), max(8, round(size[1] * conditions.reduction))
    image = image.resize(seen, Image.Resampling.BOX)
    pixels = np.asarray(image, dtype=np.float32)
    if camera.modality == IR:
        pixels = pixels[..., :1]
    angle = sensor.uniform(-0.4, 0.4)  # in radians: people and cameras move sideways
    if conditions.motion:
        pixels = motion_blur(pixels, conditions.motion * pixel * conditions.reduction, angle)
    taken = apply_sensor(pixels, seed, camera, conditions.exposure, size, sensor)
    if taken.shape[-1] == 1:
        taken = taken.repeat(3, axis=-1)
    return np.asarray(Image.fromarray(taken).resize(size, Image.Resampling.BILINEAR))


class Preset(NamedTuple):
    """A kind of image. `version` is raised whenever the same seed gives different images, since results are then not comparable."""

    version: int
    num_ids: int  # default number of identities
    render: Callable[[int, int, Camera, int, tuple[int, int]], NDArray[np.uint8]]


# Both presets use the same people, figures and scenes: a change there raises both versions.
PRESETS = {"standard": Preset(1, 100, render_standard), "hard": Preset(1, 1000, render_hard)}


def _background(seed: int, camera: Camera, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    background = scene(seed, camera.place, camera.modality, camera.indoor, size)
    width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    left = int(rng.integers(background.width - width + 1))
    return background.crop((left, 0, left + width, height))


def _add_person(
    image: Image.Image, seed: int, pid: int, camera: Camera, conditions: Conditions, rng: np.random.Generator
) -> None:
    layer = Image.new("RGBA", image.size)
    draw_person(
        layer, shape_of(seed, pid), paint_of(seed, pid, camera.modality), random_pose(rng), _VIEWS[conditions.view]
    )
    method, warp = Image.Transform.PERSPECTIVE, homography(conditions, image.size)
    layer = layer.transform(image.size, method, warp, Image.Resampling.BILINEAR)
    image.paste(layer, (0, 0), layer)
