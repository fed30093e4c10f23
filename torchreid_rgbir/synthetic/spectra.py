"""Renders an identity in several spectra at one moment: the same place, pose and shape in RGB, near and thermal infrared. No outside source."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFilter

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.figure import draw_person, random_pose
from torchreid_rgbir.synthetic.people import paint_of, shape_of
from torchreid_rgbir.synthetic.plan import VEHICLE, ImageSpec
from torchreid_rgbir.synthetic.scenes import SUPERSAMPLING, Camera, Color, expose, gray, scene
from torchreid_rgbir.synthetic.vehicle import draw_vehicle, vehicle_of, vehicle_paint

NUM_VIEWS = 8  # cameras look at vehicles from this number of directions
SPECTRA = ("rgb", "nir", "tir")

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_POSE, _NOISE, _WARMTH = 32, 33, 34

# Warmth (0-1) of each part of a person. A pattern of the clothes has one temperature, so it is invisible.
_WARMTHS = {
    "skin": (0.85, 0.98),
    "hair": (0.35, 0.5),
    "hat": (0.3, 0.45),
    "top": (0.4, 0.65),
    "bottom": (0.3, 0.6),
    "shoes": (0.2, 0.4),
    "bag": (0.15, 0.3),
}


def render_spectra(seed: int, image: ImageSpec, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Renders the spectra of an image side by side.

    Args:
        seed: of the data set, >= 0.
        image: with one or more `spectra`.
        size: width and height of a person's image in pixels. A vehicle's image has them swapped, because it is wider than high.

    Returns:
        (H, W x spectra, 3) uint8.
    """
    return np.concatenate([_render(seed, image, size, spectrum) for spectrum in image.spectra], axis=1)


def _render(seed: int, image: ImageSpec, size: tuple[int, int], spectrum: str) -> NDArray[np.uint8]:
    _, pid, camera, number, *_ = image
    pose = np.random.default_rng([seed, pid, camera.number, number, _POSE])
    noise = np.random.default_rng([seed, pid, camera.number, number, SPECTRA.index(spectrum), _NOISE])
    modality = RGB if spectrum == "rgb" else IR
    size = (size[1], size[0]) if image.subject == VEHICLE else size
    width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    background = scene(seed, camera.place, modality, camera.indoor, size)
    left = int(pose.integers(background.width - width + 1))
    picture = background.crop((left, 0, left + width, height))
    if spectrum == "tir":
        picture = picture.point([round(0.6 * value) for value in range(256)] * 3)
    if image.subject == VEHICLE:
        angle = 2 * math.pi * camera.number / NUM_VIEWS + pose.uniform(-0.2, 0.2)
        draw_vehicle(picture, vehicle_of(seed, pid), vehicle_paint(seed, pid, spectrum), angle, spectrum == "tir")
    else:
        draw_person(picture, shape_of(seed, pid), person_paint(seed, pid, spectrum), random_pose(pose))
    picture = picture.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(pose.uniform(0, 0.9) * size[0] / 64))
    # Each spectrum has a separate sensor.
    sensor = Camera(camera.number + 100 * SPECTRA.index(spectrum), modality, camera.place, camera.indoor)
    return expose(np.asarray(picture, dtype=np.float32), seed, sensor, noise)


def person_paint(seed: int, pid: int, spectrum: str) -> dict[str, Color]:
    """The colors of a person's parts in a spectrum: those of `people.paint_of`, or the warmth of each part."""
    if spectrum != "tir":
        return paint_of(seed, pid, RGB if spectrum == "rgb" else IR)
    rng = np.random.default_rng([seed, pid, _WARMTH])
    paint = {part: gray(rng.uniform(*span)) for part, span in _WARMTHS.items()}
    return paint | {"top2": paint["top"]}
