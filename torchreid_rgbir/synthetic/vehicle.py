"""Draws a vehicle as a box with two visible faces: its side, and its front or back. No outside source.

A vehicle is defined by its shape: kind, proportions, windows, stripe and roof rack. As with people, the colors of the spectra
are sampled independently of each other. In the thermal spectrum the lights, the hood and the wheels are warm, and a stripe
of paint is invisible.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from torchreid_rgbir.synthetic.scenes import Color, color, gray, muted

# Last number of a generator's seed. Each purpose has its own, also in the other modules, so that none share a stream.
_SHAPE, _PAINT = 30, 31

# Kind -> where the cabin begins and ends, as shares of the length from the front; the largest height.
KINDS = {"sedan": (0.28, 0.85, 0.5), "wagon": (0.28, 1.0, 0.55), "van": (0.08, 1.0, 0.72), "pickup": (0.25, 0.55, 0.58)}


@dataclass(frozen=True)
class Vehicle:
    """The part of an identity that all spectra see. Lengths are shares of the image's width, heights of its height."""

    cabin: tuple[float, float]  # where it begins and ends, as shares of the length from the front
    length: float
    width: float
    height: float
    belt: float  # the lower edge of the windows, as a share of the height
    num_windows: int  # on the side
    wheel: float  # radius, as a share of the image's height
    stripe: str  # none, low, high or door
    has_rack: bool


def vehicle_of(seed: int, pid: int) -> Vehicle:
    """The shape of an identity, the same in all of its images."""
    rng = np.random.default_rng([seed, pid, _SHAPE])
    begin, end, height = KINDS[tuple(KINDS)[rng.integers(len(KINDS))]]
    return Vehicle(
        cabin=(begin + rng.uniform(-0.06, 0.06), min(1.0, end + rng.uniform(-0.08, 0.04))),
        length=rng.uniform(0.6, 0.85),
        width=rng.uniform(0.28, 0.36),
        height=height * rng.uniform(0.85, 1.05),
        belt=rng.uniform(0.45, 0.6),
        num_windows=int(rng.integers(1, 5)),
        wheel=rng.uniform(0.09, 0.14),
        stripe=("none", "low", "high", "door")[rng.integers(4)],
        has_rack=bool(rng.integers(2)),
    )


def vehicle_paint(seed: int, pid: int, spectrum: str) -> dict[str, Color]:
    """The colors of an identity's parts in a spectrum ("rgb", "nir" or "tir"), 0-255; infrared has three equal channels."""
    rng = np.random.default_rng([seed, pid, ("rgb", "nir", "tir").index(spectrum), _PAINT])
    if spectrum == "rgb":
        body, stripe = (color(muted(rng.uniform(20, 245, 3))) for _ in range(2))
        lamps: dict[str, Color] = {"headlight": (245, 245, 215), "taillight": (190, 20, 25)}
        return {"body": body, "stripe": stripe, "hood": body, "window": (35, 45, 55), "wheel": (25, 25, 28), **lamps}
    if spectrum == "nir":
        body, stripe = gray(rng.uniform(0.25, 0.9)), gray(rng.uniform(0.1, 0.95))
        lamps = {"headlight": gray(0.9), "taillight": gray(0.6)}
        return {"body": body, "stripe": stripe, "hood": body, "window": gray(0.12), "wheel": gray(0.1), **lamps}
    body = gray(rng.uniform(0.3, 0.45))
    warm = {"hood": gray(rng.uniform(0.55, 0.8)), "wheel": gray(rng.uniform(0.5, 0.7))}
    return {"body": body, "stripe": body, "window": gray(0.2), "headlight": gray(1), "taillight": gray(1), **warm}


def draw_vehicle(image: Image.Image, vehicle: Vehicle, paint: dict[str, Color], angle: float, glows: bool) -> None:
    """Draws a vehicle into the middle of an image.

    Args:
        vehicle, paint: of the identity.
        angle: of the camera around the vehicle in radians: 0 in front of it, pi / 2 and -pi / 2 at its sides, pi behind it.
        glows: whether the lights have a halo, as in the thermal spectrum.
    """
    width, height = image.size
    layer, lights = Image.new("RGBA", image.size), Image.new("RGB", image.size)
    side, end = vehicle.length * width * abs(math.sin(angle)), vehicle.width * width * abs(math.cos(angle))
    left, is_front = (width - side - end) / 2, math.cos(angle) >= 0
    # The front is on the left, so a visible front face is left of the side, and a visible back face is right of it.
    start = left + end if is_front else left
    _draw_side(layer, lights, vehicle, paint, start, side)
    _draw_end(layer, lights, vehicle, paint, left if is_front else left + side, end, is_front)
    if math.sin(angle) < 0:
        layer, lights = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (layer, lights))
    image.paste(layer, (0, 0), layer)
    if glows:
        halo = lights.filter(ImageFilter.GaussianBlur(height / 24))
        image.paste(ImageChops.add(ImageChops.add(image, halo), halo))


def _draw_side(
    layer: Image.Image, lights: Image.Image, vehicle: Vehicle, paint: dict[str, Color], left: float, length: float
) -> None:
    roof, belt, floor, ground = _heights(layer, vehicle)
    draw = ImageDraw.Draw(layer)

    def at(share: float) -> float:
        return left + share * length

    begin, end = vehicle.cabin
    slope = 0.06 if end - begin > 0.5 else 0.03
    draw.polygon(
        [(at(begin), belt), (at(begin + slope), roof), (at(end - slope / 2), roof), (at(end), belt)], fill=paint["body"]
    )
    draw.rectangle((left, belt, left + length, floor), fill=paint["body"])
    draw.rectangle((left, belt, at(begin), (belt + floor) / 2), fill=paint["hood"])
    places = np.linspace(begin + slope, end - slope / 2, vehicle.num_windows + 1)
    for first, last in zip(places, places[1:], strict=False):
        gap = 0.1 * (last - first)
        draw.rectangle((at(first + gap), roof + 0.2 * (belt - roof), at(last - gap), belt), fill=paint["window"])
    middle = (belt + floor) / 2
    stripes = {
        "low": (left, middle, left + length, floor),
        "high": (left, belt, left + length, belt + 0.3 * (floor - belt)),
        "door": (at(begin), belt, at((begin + end) / 2), floor),
    }
    if vehicle.stripe in stripes:
        draw.rectangle(stripes[vehicle.stripe], fill=paint["stripe"])
    if vehicle.has_rack:
        draw.line((at(begin + slope), roof - 2, at(end - slope), roof - 2), fill=paint["wheel"], width=2)
    radius = vehicle.wheel * layer.height
    for share in (0.18, 0.82):
        reach = radius * length / (vehicle.length * layer.width)
        draw.ellipse((at(share) - reach, ground - 2 * radius, at(share) + reach, ground), fill=paint["wheel"])
    for share, name in ((0.0, "headlight"), (0.95, "taillight")):
        box = (at(share), belt + 0.2 * (floor - belt), at(share + 0.05), middle)
        for target in (draw, ImageDraw.Draw(lights)):
            target.rectangle(box, fill=paint[name])


def _draw_end(
    layer: Image.Image,
    lights: Image.Image,
    vehicle: Vehicle,
    paint: dict[str, Color],
    left: float,
    width: float,
    is_front: bool,
) -> None:
    roof, belt, floor, ground = _heights(layer, vehicle)
    draw = ImageDraw.Draw(layer)
    draw.rectangle((left + 0.1 * width, floor, left + 0.9 * width, ground), fill=paint["wheel"])
    draw.polygon(
        [(left, belt), (left + 0.12 * width, roof), (left + 0.88 * width, roof), (left + width, belt)],
        fill=paint["body"],
    )
    draw.rectangle((left, belt, left + width, floor), fill=paint["hood" if is_front else "body"])
    box = (left + 0.15 * width, roof + 0.2 * (belt - roof), left + 0.85 * width, belt)
    draw.rectangle(box, fill=paint["window"])
    top, bottom = belt + 0.2 * (floor - belt), belt + 0.5 * (floor - belt)
    for share in (0.04, 0.76):
        box = (left + share * width, top, left + (share + 0.2) * width, bottom)
        for target in (draw, ImageDraw.Draw(lights)):
            target.rectangle(box, fill=paint["headlight" if is_front else "taillight"])


def _heights(image: Image.Image, vehicle: Vehicle) -> tuple[float, float, float, float]:
    """The y of roof, belt, floor and ground."""
    ground = 0.9 * image.height
    floor = ground - vehicle.wheel * image.height
    roof = ground - vehicle.height * image.height
    return roof, floor - vehicle.belt * (floor - roof), floor, ground
