"""The disturbances of the preset `hard`: viewpoint, occlusion, bad crops, blur, low light and sensor noise.

The sensor noise follows EMVA standard 1288. The strength of all disturbances is this project's choice.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.scenes import Camera

# Share of the images with each disturbance. An image has at most one of the first three; the others are independent.
SHARES = {
    "passer-by": 0.15,
    "furniture": 0.2,
    "cut": 0.15,
    "misaligned": 0.2,
    "low light": 0.35,
    "motion blur": 0.25,
    "defocus": 0.2,
    "low resolution": 0.25,
}
VIEWS = ("front", "back", "side")  # equally likely

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_CONDITIONS, _MOUNT, _PATTERN = 21, 22, 23

_WELL = {RGB: 700, IR: 300}  # electrons of the brightest pixel; fewer mean more noise
_READ = {RGB: 0.006, IR: 0.012}  # read noise, as a share of the brightest pixel
_GAIN = 0.65  # share of missing light, in stops, that the camera compensates by a higher gain


@dataclass(frozen=True)
class Conditions:
    """The conditions under which an image is taken. Angles are in radians, lengths in half image heights unless noted."""

    view: str  # one of VIEWS
    tilt: float  # 0 is eye level; a larger value makes the head larger and the feet smaller
    roll: float
    mirrored: bool
    kept: float  # share of the person's height that is visible, from the head down; 1 unless the crop is cut
    zoom: float
    shift: tuple[float, float]  # to the right and down
    occluder: str  # passer-by, furniture or none
    exposure: float  # light, relative to good light
    motion: float  # length of the blur, in pixels of an image 64 wide; 0: none
    defocus: float  # sigma of the blur, in the same unit
    reduction: float  # factor of the resolution; 1: none


def conditions_of(seed: int, pid: int, camera: Camera, number: int) -> Conditions:
    """The conditions of an image, the same in every process."""
    rng = np.random.default_rng([seed, pid, camera.number, camera.modality, number, _CONDITIONS])
    mount = np.random.default_rng([seed, camera.number, camera.modality, _MOUNT])

    def happens(name: str) -> bool:
        return bool(rng.random() < SHARES[name])

    covered = ("passer-by", "furniture", "cut", "none")
    shares = [SHARES[name] for name in covered[:-1]]
    occluder = covered[int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))]
    astray = 4.0 if happens("misaligned") else 1.0
    dark = happens("low light")
    darkest, lightest = (0.12, 0.35) if camera.modality == IR else (0.07, 0.2)  # IR cameras bring lamps
    return Conditions(
        view=VIEWS[rng.integers(len(VIEWS))],
        tilt=mount.uniform(0.0, 0.25) + rng.uniform(0.0, 0.1),
        roll=rng.uniform(-0.06, 0.06),
        mirrored=bool(rng.integers(2)),
        kept=rng.uniform(0.5, 0.75) if occluder == "cut" else 1.0,
        zoom=math.exp(astray * rng.uniform(-0.08, 0.06)),
        shift=(astray * rng.uniform(-0.045, 0.045), astray * rng.uniform(-0.045, 0.045)),
        occluder="none" if occluder == "cut" else occluder,
        exposure=math.exp(rng.uniform(math.log(darkest), math.log(lightest))) if dark else rng.uniform(0.75, 1.1),
        motion=rng.uniform(3.0, 8.0) if happens("motion blur") else 0.0,
        defocus=rng.uniform(0.9, 1.8) if happens("defocus") else 0.0,
        reduction=rng.uniform(0.35, 0.6) if happens("low resolution") else 1.0,
    )


def homography(conditions: Conditions, size: tuple[int, int]) -> tuple[float, ...]:
    """Maps a pixel of the image to the pixel of the figure's drawing that is seen there, as Pillow's PERSPECTIVE (a..h).

    Args:
        conditions: of which tilt, roll, mirrored, kept, zoom and shift are used.
        size: width and height of image and drawing, in pixels.
    """
    width, height = size
    pixels = np.array([[height / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])  # center 0, half height 1
    units = np.array([[2 / height, 0, -width / height], [0, 2 / height, -1], [0, 0, 1]])
    # Each step goes from the image back to the drawing.
    across, down = conditions.shift
    zoom, kept, tilt = conditions.zoom, conditions.kept, conditions.tilt
    crop = np.array([[1 / zoom, 0, -across / zoom], [0, 1 / zoom, -down / zoom], [0, 0, 1]])
    # A detector's box around the upper part is stretched to the image's height, and less in width.
    cut = np.array([[math.sqrt(kept), 0, 0], [0, kept, kept - 1], [0, 0, 1]])
    cos, sin = math.cos(conditions.roll), math.sin(conditions.roll)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    # From above: x and y are divided by 1 + tilt * y, then the foreshortened person is scaled back to full height.
    lean = np.array([[1, 0, 0], [0, 1, 0], [0, -tilt, 1]])
    scale = 1 - tilt**2
    fit = np.array([[(1 - tilt / 2) / scale, 0, 0], [0, 1 / scale, -tilt / scale], [0, 0, 1]])
    mirror = np.diag([-1.0 if conditions.mirrored else 1.0, 1.0, 1.0])
    matrix = pixels @ mirror @ lean @ fit @ turn @ cut @ crop @ units
    return tuple((matrix / matrix[2, 2]).ravel()[:8].tolist())


def motion_blur(pixels: NDArray[np.float32], length: float, angle: float) -> NDArray[np.float32]:
    """Motion blur: the mean over `length` pixels (at least 2) in one direction.  pixels: (H, W, C)."""
    num = max(2, round(length))
    height, width = pixels.shape[:2]
    margin = num // 2 + 1
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    total = np.zeros_like(pixels)
    for step in range(num):
        along = step - (num - 1) / 2
        x, y = (margin + math.floor(along * part + 0.5) for part in (math.cos(angle), math.sin(angle)))
        total += padded[y : y + height, x : x + width]
    return total / np.float32(num)


def apply_sensor(
    pixels: NDArray[np.float32],
    seed: int,
    camera: Camera,
    exposure: float,
    sensor: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Simulates the camera's sensor. In less light the camera raises its gain, which amplifies the noise.

    Args:
        pixels: (H, W, C), 0-255, in good light; C is 3 for RGB and 1 for IR.
        seed: of the data set.
        camera: in darkness, the colors of an RGB camera fade and the lamps of an IR camera do not reach the edges.
        exposure: the light, relative to good light (1).
        sensor: width and height in pixels. `pixels` may have fewer, for a person far away.
        rng: for this image's lamp or color cast, and its noise.
    """
    light = pixels / np.float32(255)
    height, width, _ = pixels.shape
    darkness = max(0.0, 1 - exposure)
    if camera.modality == IR:
        x, y = (np.linspace(-1, 1, num, dtype=np.float32) - rng.uniform(-0.3, 0.3) for num in (width, height))
        fall = np.float32(rng.uniform(0.2, 0.5) + 2 * darkness**2)
        light = light * (1.15 / (1 + fall * (0.6 * x[None, :] ** 2 + y[:, None] ** 2)))[..., None].astype(np.float32)
    else:
        light = light * rng.uniform(0.88, 1.12, 3).astype(np.float32)
        light += np.float32(0.6 * darkness) * (light.mean(axis=-1, keepdims=True) - light)
    light = light * np.float32(exposure)  # relative to the brightest pixel
    gains, offsets = (part[:height, :width] for part in _pattern(seed, camera.number, camera.modality, sensor))
    deviation = np.sqrt(light / np.float32(_WELL[camera.modality]) + np.float32(_READ[camera.modality] ** 2))
    signal = light * gains + offsets + deviation * rng.standard_normal(light.shape, dtype=np.float32)
    shown = signal * np.float32(max(1.0, exposure**-_GAIN))
    return (shown * np.float32(255)).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _pattern(
    seed: int, number: int, modality: int, sensor: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # Fixed pattern of a sensor: the sensitivity of its pixels (H, W, 1) and the offset of its columns (1, W, 1).
    rng = np.random.default_rng([seed, number, modality, _PATTERN])
    width, height = sensor
    sensitivity = 1 + 0.03 * rng.standard_normal((height, width, 1), dtype=np.float32)
    return sensitivity, np.float32(_READ[modality] / 2) * rng.standard_normal((1, width, 1), dtype=np.float32)
