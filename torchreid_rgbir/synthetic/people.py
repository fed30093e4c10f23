"""The rendered people: the shape of an identity, its colors and its reflectances. No outside source.

Colors (RGB) and reflectances of the materials (IR) are sampled independently of each other and of the shape. So only shape,
pattern and accessories can be matched across modalities.
"""

from dataclasses import dataclass

import numpy as np

from torchreid_rgbir.modality import IR
from torchreid_rgbir.synthetic.scenes import Color, color, gray, muted

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_SHAPE, _PAINT = 1, 2

# Reflectance in IR (0-1) of each part. That of cloth does not depend on its color; skin is bright in the cameras' lamps.
_REFLECTANCES = {
    "skin": (0.9, 0.98),
    "hair": (0.15, 0.25),
    "hat": (0.35, 0.65),
    "top": (0.3, 0.9),
    "top2": (0.1, 0.9),
    "bottom": (0.2, 0.9),
    "shoes": (0.1, 0.4),
    "bag": (0.05, 0.2),
}


@dataclass(frozen=True)
class Shape:
    """The part of an identity that both modalities see. Heights are fractions of the image height, widths of its width."""

    height: float
    shoulders: float
    hips: float
    leg_width: float
    long_sleeves: bool
    bottom: str  # trousers, shorts or skirt
    pattern: str  # of the top: plain, horizontal, vertical, checks or logo
    period: int  # of the pattern, in pixels of an image 64 wide
    bag: str  # none, sling, handbag or backpack
    hair: str  # shaved, short or long
    hat: bool


def shape_of(seed: int, pid: int) -> Shape:
    """The shape of an identity, the same in all of its images."""
    rng = np.random.default_rng([seed, pid, _SHAPE])
    return Shape(
        height=rng.uniform(0.8, 1.0),
        shoulders=rng.uniform(0.28, 0.48),
        hips=rng.uniform(0.2, 0.36),
        leg_width=rng.uniform(0.08, 0.15),
        long_sleeves=bool(rng.integers(2)),
        bottom=("trousers", "shorts", "skirt")[rng.integers(3)],
        pattern=("plain", "horizontal", "vertical", "checks", "logo")[rng.integers(5)],
        period=int(rng.integers(4, 11)),
        bag=("none", "sling", "handbag", "backpack")[rng.integers(4)],
        hair=("shaved", "short", "long")[rng.integers(3)],
        hat=bool(rng.random() < 1 / 3),
    )


def paint_of(seed: int, pid: int, modality: int) -> dict[str, Color]:
    """The colors (RGB) or reflectances (IR, three equal channels) of an identity's parts, 0-255, sampled independently."""
    rng = np.random.default_rng([seed, pid, modality, _PAINT])
    if modality == IR:
        return {part: gray(rng.uniform(*span)) for part, span in _REFLECTANCES.items()}
    paint = {part: color(muted(rng.uniform(0, 256, 3))) for part in _REFLECTANCES}
    skin = np.array([235, 195, 165]) * rng.uniform(0.5, 1.0)
    return paint | {"skin": color(skin), "hair": color(rng.integers(0, 120, 3))}
