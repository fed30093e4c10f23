"""Drawn walking people as visible (RGB) and infrared (IR) cameras see them; this project's own, no outside source.

What makes an identity is its shape: build, cut of the clothes, their pattern, hair, hat, bag. Colours (RGB) and
material reflectances (IR) are drawn independently of each other and of the shape, so a colour says nothing about the
grey value in the other modality, and only shape, pattern and accessories can be matched across modalities.
Everything follows from (seed, pid, camera, number): no global state, the same picture in any process.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from torchreid_rgbir.data.synthetic_scenes import SUPERSAMPLING, Camera, Colour, colour, expose, grey, muted, scene
from torchreid_rgbir.modality import IR

VERSION = 1  # counts up whenever the same seed gives other pictures, since results are then no longer comparable

Point = tuple[float, float]

# The last word of a generator's seed, so that no two purposes share a stream (synthetic_scenes has others).
_SHAPE, _PAINT, _IMAGE = 1, 2, 3

# In IR, by part, 0-1. Cloth may reflect anything, whatever its colour; lamps of cameras make skin bright.
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
    """What both modalities see of an identity. Heights are fractions of the image's height, widths of its width."""

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
    """The shape of an identity; the same in every image of it."""
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


def paint_of(seed: int, pid: int, modality: int) -> dict[str, Colour]:
    """The identity's colours (RGB) or reflectances (IR, three equal channels) by part, 0-255, from unrelated draws."""
    rng = np.random.default_rng([seed, pid, modality, _PAINT])
    if modality == IR:
        return {part: grey(rng.uniform(*span)) for part, span in _REFLECTANCES.items()}
    paint = {part: colour(muted(rng.uniform(0, 256, 3))) for part in _REFLECTANCES}
    skin = np.array([235, 195, 165]) * rng.uniform(0.5, 1.0)
    return paint | {"skin": colour(skin), "hair": colour(rng.integers(0, 120, 3))}


def render(seed: int, pid: int, camera: Camera, number: int, size: tuple[int, int] = (64, 128)) -> NDArray[np.uint8]:
    """Draws image `number` of identity `pid` as `camera` sees it.

    Args:
        seed: of the whole data set, >= 0.
        pid: the identity, >= 0.
        camera: where and in which modality.
        number: of the image; another number gives another pose, place in the image, crop of the background, light, noise.
        size: width and height of the image in pixels.

    Returns:
        (H, W, 3) uint8; three equal channels in IR.
    """
    rng = np.random.default_rng([seed, pid, camera.number, camera.modality, number, _IMAGE])
    background = scene(seed, camera.place, camera.modality, camera.indoor, size)
    width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    left = int(rng.integers(background.width - width + 1))
    image = background.crop((left, 0, left + width, height))
    _draw_person(image, shape_of(seed, pid), paint_of(seed, pid, camera.modality), rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9) * size[0] / 64))
    return expose(np.asarray(image, dtype=np.float32), seed, camera, rng)


def _draw_person(image: Image.Image, shape: Shape, paint: dict[str, Colour], rng: np.random.Generator) -> None:
    # Back to front; the person walks to the right (the caller mirrors half of the images).
    width, height = image.size
    tall = height * 0.92 * shape.height * rng.uniform(0.93, 1.0)
    top = (height - tall) * rng.uniform(0.3, 0.8)
    x = width * (0.5 + rng.uniform(-0.06, 0.06))
    shoulders = shape.shoulders * width * rng.uniform(0.9, 1.05)
    hips = shape.hips * width
    phase, stride = rng.uniform(0, 2 * math.pi), rng.uniform(0.02, 0.12)
    lean = rng.uniform(-0.01, 0.01) * width  # of the head and shoulders against the hips
    chest = x + lean
    draw = ImageDraw.Draw(image)

    def down(fraction: float) -> float:
        return top + tall * fraction

    if shape.bag == "backpack":
        back = chest - shoulders * 0.5 - width * 0.12
        draw.rounded_rectangle((back, down(0.19), chest, down(0.46)), radius=width * 0.04, fill=paint["bag"])
    arm_swing = stride * math.sin(phase)
    _draw_arm(draw, (chest - shoulders * 0.5, down(0.205)), 0.2 - arm_swing, tall, width, shape, paint)
    for side in (-1, 1):
        swing = side * stride * math.sin(phase)
        bend = rng.uniform(0.5, 1.0) * stride * max(0.0, side * math.cos(phase)) + 0.04
        _draw_leg(draw, (x + side * hips * 0.27, down(0.53)), (swing, bend), tall, width, shape, paint)
    if shape.bottom == "skirt":
        hem = hips * 0.85
        sway = stride * 0.2 * width * math.sin(phase)
        corners = [(x - hips * 0.5, down(0.51)), (x + hips * 0.5, down(0.51))]
        draw.polygon([*corners, (x + hem + sway, down(0.77)), (x - hem + sway, down(0.78))], fill=paint["bottom"])
    _draw_top(image, (x, chest), (hips, shoulders), (down(0.165), down(0.55)), shape, paint)
    hand = _draw_arm(draw, (chest + shoulders * 0.5, down(0.205)), arm_swing - 0.2, tall, width, shape, paint)
    _draw_head(draw, (chest + lean * 0.3, down(0.085)), tall * 0.053, shape, paint)
    if shape.bag == "sling":
        end = (x + hips * 0.5, down(0.5))
        draw.line([(chest - shoulders * 0.36, down(0.17)), end], fill=paint["bag"], width=round(width * 0.045))
    elif shape.bag == "backpack":
        for side in (-1, 1):
            strap = chest + side * shoulders * 0.3
            draw.line([(strap, down(0.17)), (strap, down(0.32))], fill=paint["bag"], width=round(width * 0.03))
    elif shape.bag == "handbag":
        draw.line([hand, (hand[0], hand[1] + tall * 0.04)], fill=paint["bag"], width=round(width * 0.03))
        box = (hand[0] - width * 0.1, hand[1] + tall * 0.03, hand[0] + width * 0.1, hand[1] + tall * 0.15)
        draw.rounded_rectangle(box, radius=width * 0.02, fill=paint["bag"])


def _draw_leg(
    draw: ImageDraw.ImageDraw,
    hip: Point,
    angles: tuple[float, float],
    tall: float,
    width: float,
    shape: Shape,
    paint: dict[str, Colour],
) -> None:
    # angles: of the thigh against the vertical (forwards positive) and of the bent knee, radians.
    swing, bend = angles
    knee = _reach(hip, swing, tall * 0.22)
    ankle = _reach(knee, swing - bend, tall * 0.21)
    thick = shape.leg_width * width
    _limb(draw, [hip, knee, ankle], thick * 0.9, paint["skin"])
    toe = (ankle[0] + width * 0.05, ankle[1] + tall * 0.01)
    _limb(draw, [(ankle[0] - width * 0.01, toe[1]), toe], tall * 0.025, paint["shoes"])
    if shape.bottom == "trousers":
        _limb(draw, [hip, knee], thick * 1.4, paint["bottom"])
        draw.line([knee, _between(knee, ankle, 0.97)], fill=paint["bottom"], width=round(thick * 1.25))
    elif shape.bottom == "shorts":
        _limb(draw, [hip], thick * 1.5, paint["bottom"])
        draw.line([hip, _between(hip, knee, 1.05)], fill=paint["bottom"], width=round(thick * 1.6))


def _draw_arm(
    draw: ImageDraw.ImageDraw,
    shoulder: Point,
    swing: float,
    tall: float,
    width: float,
    shape: Shape,
    paint: dict[str, Colour],
) -> Point:
    # Returns where the hand is.  Sleeves are a little darker than the chest, so that an arm in front of it is seen.
    elbow = _reach(shoulder, -swing, tall * 0.16)
    hand = _reach(elbow, -swing + 0.12, tall * 0.16)
    _limb(draw, [shoulder, elbow, hand], width * 0.06, paint["skin"])
    red, green, blue = paint["top"]
    sleeve: Colour = (red * 9 // 10, green * 9 // 10, blue * 9 // 10)
    points = (
        [shoulder, elbow, _between(elbow, hand, 0.85)]
        if shape.long_sleeves
        else [shoulder, _between(shoulder, elbow, 0.7)]
    )
    _limb(draw, points, width * 0.085, sleeve)
    return hand


def _draw_top(
    image: Image.Image,
    centres: tuple[float, float],
    widths: tuple[float, float],
    ends: tuple[float, float],
    shape: Shape,
    paint: dict[str, Colour],
) -> None:
    # centres, widths: of the hips and of the shoulders; ends: y of the collar and of the hem.
    (x, chest), (hips, shoulders), (collar, hem) = centres, widths, ends
    slope = (hem - collar) * 0.06  # from the neck to the shoulder's tip
    outline = [
        (chest - shoulders * 0.35, collar),
        (chest + shoulders * 0.35, collar),
        (chest + shoulders * 0.5, collar + slope),
        (x + hips * 0.55, hem),
        (x - hips * 0.55, hem),
        (chest - shoulders * 0.5, collar + slope),
    ]
    if shape.pattern == "plain":
        ImageDraw.Draw(image).polygon(outline, fill=paint["top"])
        return
    cloth = Image.new("RGB", image.size, paint["top"])
    draw = ImageDraw.Draw(cloth)
    step = shape.period * image.width / 64
    lefts = np.arange(chest - step * math.ceil(chest / step), image.width, step)
    tops = np.arange(collar, hem, step)
    if shape.pattern == "horizontal":
        for y in tops:
            draw.rectangle((0, y, image.width, y + step / 2), fill=paint["top2"])
    elif shape.pattern == "vertical":
        for left in lefts:
            draw.rectangle((left, collar, left + step / 2, hem), fill=paint["top2"])
    elif shape.pattern == "checks":
        for row, y in enumerate(tops):
            for left in lefts[row % 2 :: 2]:
                draw.rectangle((left, y, left + step, y + step), fill=paint["top2"])
    else:  # logo
        reach, low = shoulders * 0.2, hem - collar
        draw.ellipse((chest - reach, collar + 0.3 * low, chest + reach, collar + 0.6 * low), fill=paint["top2"])
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    image.paste(cloth, (0, 0), mask)


def _draw_head(draw: ImageDraw.ImageDraw, centre: Point, radius: float, shape: Shape, paint: dict[str, Colour]) -> None:
    x, y = centre
    if shape.hair == "long":
        box = (x - radius * 1.25, y - radius * 1.35, x + radius * 1.1, y + radius * 1.9)
        draw.rounded_rectangle(box, radius=radius * 0.8, fill=paint["hair"])
    _limb(draw, [(x, y + radius), (x, y + radius * 1.7)], radius * 0.9, paint["skin"])
    draw.ellipse((x - radius, y - radius * 1.25, x + radius, y + radius * 1.3), fill=paint["skin"])
    if shape.hair != "shaved":
        box = (x - radius * 1.1, y - radius * 1.4, x + radius * 1.1, y + radius)
        draw.pieslice(box, 170, 350, fill=paint["hair"])
    if shape.hat:
        draw.pieslice(
            (x - radius * 1.15, y - radius * 1.6, x + radius * 1.15, y + radius * 0.6), 180, 360, fill=paint["hat"]
        )
        draw.rectangle((x - radius * 1.15, y - radius * 0.65, x + radius * 1.8, y - radius * 0.35), fill=paint["hat"])


def _limb(draw: ImageDraw.ImageDraw, points: list[Point], thick: float, fill: Colour) -> None:
    # A bent stroke with round joints and ends.
    draw.line(points, fill=fill, width=max(1, round(thick)))
    half = thick / 2
    for x, y in points:
        draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)


def _reach(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _between(start: Point, end: Point, part: float) -> Point:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
