"""Draws a walking person part by part, in one of several views. No outside source."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from torchreid_rgbir.synthetic.people import Shape
from torchreid_rgbir.synthetic.scenes import Color

Point = tuple[float, float]


@dataclass(frozen=True)
class View:
    """The side of a person that the camera sees."""

    breadth: float  # of shoulders and hips, relative to their full width
    stride: float  # swing of arms and legs, relative to the full swing
    foot: float  # visible length, as a share of the image width


WALKING = View(1.0, 1.0, 0.05)  # the torso half turned to the camera; the only view of the preset `standard`
FRONT = View(1.0, 0.4, 0.015)
BACK = View(1.0, 0.4, 0.005)  # no face, no logo, a complete backpack
SIDE = View(0.62, 1.25, 0.05)


class Pose(NamedTuple):
    """How a person stands in an image. The phase is an angle in radians; it grows by 2 pi in two steps of a walk."""

    size: float  # relative to the person's full height
    down: float  # place: share of the free height that is above the head
    across: float  # place: distance of the hips from the middle, as a share of the image width
    breadth: float  # of the shoulders, relative to their full width
    phase: float
    stride: float  # largest angle of arms and legs, in radians
    lean: float  # shift of head and shoulders relative to the hips, as a share of the image width
    bends: tuple[float, float]  # of the knees, relative to the stride


def random_pose(rng: np.random.Generator) -> Pose:
    """A moment of a walk, somewhere near the middle of the image."""
    size, down, across = rng.uniform(0.93, 1.0), rng.uniform(0.3, 0.8), rng.uniform(-0.06, 0.06)
    breadth = rng.uniform(0.9, 1.05)
    phase, stride, lean = rng.uniform(0, 2 * math.pi), rng.uniform(0.02, 0.12), rng.uniform(-0.01, 0.01)
    return Pose(size, down, across, breadth, phase, stride, lean, (rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0)))


class Canvas(NamedTuple):
    """An image with the person to draw into it: height of the person, width of the image, shape, colors and visible side."""

    draw: ImageDraw.ImageDraw
    tall: float
    width: int
    shape: Shape
    paint: dict[str, Color]
    view: View


def draw_person(image: Image.Image, shape: Shape, paint: dict[str, Color], pose: Pose, view: View = WALKING) -> None:
    """Draws a complete person, who fills most of the image's height and walks to the right if the view shows it.

    Args:
        image: RGB or RGBA; changed in place.
        shape, paint: of the identity.
        pose: of the moment.
        view: the visible side.
    """
    # Parts are drawn from back to front.
    width, height = image.size
    tall = height * 0.92 * shape.height * pose.size
    top = (height - tall) * pose.down
    x = width * (0.5 + pose.across)
    shoulders = shape.shoulders * width * pose.breadth * view.breadth
    hips = shape.hips * width * view.breadth
    phase, stride = pose.phase, pose.stride * view.stride
    lean = pose.lean * width
    chest = x + lean
    draw = ImageDraw.Draw(image)
    canvas = Canvas(draw, tall, width, shape, paint, view)

    def down(fraction: float) -> float:
        return top + tall * fraction

    def draw_bag(box: tuple[float, float, float, float], radius: float) -> None:
        draw.rounded_rectangle(box, radius=width * radius, fill=paint["bag"])

    if shape.bag == "backpack" and view is FRONT:  # its edges are visible behind the shoulders
        reach = shoulders * 0.5 + width * 0.04
        draw_bag((chest - reach, down(0.2), chest + reach, down(0.42)), 0.04)
    elif shape.bag == "backpack" and view is not BACK:
        draw_bag((chest - shoulders * 0.5 - width * 0.12, down(0.19), chest, down(0.46)), 0.04)
    arm_swing = stride * math.sin(phase)
    _draw_arm(canvas, (chest - shoulders * 0.5, down(0.205)), 0.2 - arm_swing)
    for side, knee in zip((-1, 1), pose.bends, strict=True):
        swing = side * stride * math.sin(phase)
        bend = knee * stride * max(0.0, side * math.cos(phase)) + 0.04
        _draw_leg(canvas, (x + side * hips * 0.27, down(0.53)), swing, bend)
    if shape.bottom == "skirt":
        hem = hips * 0.85
        sway = stride * 0.2 * width * math.sin(phase)
        corners = [(x - hips * 0.5, down(0.51)), (x + hips * 0.5, down(0.51))]
        draw.polygon([*corners, (x + hem + sway, down(0.77)), (x - hem + sway, down(0.78))], fill=paint["bottom"])
    _draw_top(canvas, image, (x, chest), (hips, shoulders), (down(0.165), down(0.55)))
    hand = _draw_arm(canvas, (chest + shoulders * 0.5, down(0.205)), arm_swing - 0.2)
    _draw_head(canvas, (chest + lean * 0.3, down(0.085)), tall * 0.053)
    if shape.bag == "sling":
        end = (x + hips * 0.5, down(0.5))
        draw.line([(chest - shoulders * 0.36, down(0.17)), end], fill=paint["bag"], width=round(width * 0.045))
    elif shape.bag == "backpack" and view is BACK:
        draw_bag((chest - shoulders * 0.36, down(0.18), chest + shoulders * 0.36, down(0.47)), 0.05)
    elif shape.bag == "backpack":
        for side in (-1, 1):
            strap = chest + side * shoulders * 0.3
            draw.line([(strap, down(0.17)), (strap, down(0.32))], fill=paint["bag"], width=round(width * 0.03))
    elif shape.bag == "handbag":
        x, y = hand
        draw.line([hand, (x, y + tall * 0.04)], fill=paint["bag"], width=round(width * 0.03))
        draw_bag((x - width * 0.1, y + tall * 0.03, x + width * 0.1, y + tall * 0.15), 0.02)


def _draw_leg(canvas: Canvas, hip: Point, swing: float, bend: float) -> None:
    # swing: angle of the thigh to the vertical (positive: forwards); bend: angle of the bent knee; both in radians.
    draw, tall, width, shape, paint, view = canvas
    knee = _reach(hip, swing, tall * 0.22)
    ankle = _reach(knee, swing - bend, tall * 0.21)
    thick = shape.leg_width * width
    _limb(draw, [hip, knee, ankle], thick * 0.9, paint["skin"])
    toe = (ankle[0] + width * view.foot, ankle[1] + tall * 0.01)
    _limb(draw, [(ankle[0] - width * 0.01, toe[1]), toe], tall * 0.025, paint["shoes"])
    if shape.bottom == "trousers":
        _limb(draw, [hip, knee], thick * 1.4, paint["bottom"])
        draw.line([knee, _between(knee, ankle, 0.97)], fill=paint["bottom"], width=round(thick * 1.25))
    elif shape.bottom == "shorts":
        _limb(draw, [hip], thick * 1.5, paint["bottom"])
        draw.line([hip, _between(hip, knee, 1.05)], fill=paint["bottom"], width=round(thick * 1.6))


def _draw_arm(canvas: Canvas, shoulder: Point, swing: float) -> Point:
    # Returns the place of the hand. Sleeves are a little darker than the chest, so that an arm in front of it is visible.
    draw, tall, width, shape, paint, _ = canvas
    elbow = _reach(shoulder, -swing, tall * 0.16)
    hand = _reach(elbow, -swing + 0.12, tall * 0.16)
    _limb(draw, [shoulder, elbow, hand], width * 0.06, paint["skin"])
    red, green, blue = paint["top"]
    sleeve: Color = (red * 9 // 10, green * 9 // 10, blue * 9 // 10)
    long, short = [shoulder, elbow, _between(elbow, hand, 0.85)], [shoulder, _between(shoulder, elbow, 0.7)]
    _limb(draw, long if shape.long_sleeves else short, width * 0.085, sleeve)
    return hand


def _draw_top(canvas: Canvas, image: Image.Image, centers: Point, widths: Point, ends: Point) -> None:
    # centers, widths: of hips and shoulders; ends: y of collar and hem.
    _, _, _, shape, paint, view = canvas
    (x, chest), (hips, shoulders), (collar, hem) = centers, widths, ends
    slope = (hem - collar) * 0.06  # from the neck to the shoulder's tip
    outline = [
        (chest - shoulders * 0.35, collar),
        (chest + shoulders * 0.35, collar),
        (chest + shoulders * 0.5, collar + slope),
        (x + hips * 0.55, hem),
        (x - hips * 0.55, hem),
        (chest - shoulders * 0.5, collar + slope),
    ]
    if shape.pattern == "plain" or (shape.pattern == "logo" and view is BACK):
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
        middle = chest + shoulders * 0.35 if view is SIDE else chest
        draw.ellipse((middle - reach, collar + 0.3 * low, middle + reach, collar + 0.6 * low), fill=paint["top2"])
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    image.paste(cloth, (0, 0), mask)


def _draw_head(canvas: Canvas, center: Point, radius: float) -> None:
    draw, _, _, shape, paint, view = canvas
    x, y = center
    if shape.hair == "long":
        box = (x - radius * 1.25, y - radius * 1.35, x + radius * 1.1, y + radius * 1.9)
        draw.rounded_rectangle(box, radius=radius * 0.8, fill=paint["hair"])
    _limb(draw, [(x, y + radius), (x, y + radius * 1.7)], radius * 0.9, paint["skin"])
    draw.ellipse((x - radius, y - radius * 1.25, x + radius, y + radius * 1.3), fill=paint["skin"])
    if shape.hair != "shaved":
        box = (x - radius * 1.1, y - radius * 1.4, x + radius * 1.1, y + radius)
        first, last = (0, 360) if view is BACK else (80, 320) if view is SIDE else (170, 350)
        draw.pieslice(box, first, last, fill=paint["hair"])
    if shape.hair == "long" and view is BACK:
        box = (x - radius * 1.2, y - radius * 0.6, x + radius * 1.2, y + radius * 2.4)
        draw.rounded_rectangle(box, radius=radius * 0.6, fill=paint["hair"])
    if shape.hat:
        crown = (x - radius * 1.15, y - radius * 1.6, x + radius * 1.15, y + radius * 0.6)
        draw.pieslice(crown, 180, 360, fill=paint["hat"])
        brim = radius * (1.15 if view is BACK else 1.35 if view is FRONT else 1.8)
        draw.rectangle((x - radius * 1.15, y - radius * 0.65, x + brim, y - radius * 0.35), fill=paint["hat"])


def _limb(draw: ImageDraw.ImageDraw, points: list[Point], thick: float, fill: Color) -> None:
    # A line with round joints and ends.
    draw.line(points, fill=fill, width=max(1, round(thick)))
    half = thick / 2
    for x, y in points:
        draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)


def _reach(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _between(start: Point, end: Point, part: float) -> Point:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part
