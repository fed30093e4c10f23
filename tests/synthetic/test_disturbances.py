"""Disturbances: each as often as it says, each visible in the picture, the camera's own always the same."""

import dataclasses
import math

import numpy as np
import pytest

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.disturbances import (
    SHARES,
    VIEWS,
    Conditions,
    apply_sensor,
    conditions_of,
    homography,
    motion_blur,
)
from torchreid_rgbir.synthetic.render import render_hard, render_under
from torchreid_rgbir.synthetic.scenes import Camera

SIZE = (64, 128)
VISIBLE = Camera(1, RGB, place=1, indoor=True)
INFRARED = Camera(3, IR, place=2, indoor=True)
BOTH = pytest.mark.parametrize("camera", [VISIBLE, INFRARED], ids=["rgb", "ir"])

# Nothing in the way, good light, a sharp picture from eye level.
PLAIN = Conditions(
    view="front",
    tilt=0.0,
    roll=0.0,
    mirrored=False,
    kept=1.0,
    zoom=1.0,
    shift=(0.0, 0.0),
    occluder="none",
    exposure=1.0,
    motion=0.0,
    defocus=0.0,
    reduction=1.0,
)


def draw(camera=VISIBLE, pid=3, number=1, **changes):
    return render_under(dataclasses.replace(PLAIN, **changes), 0, pid, camera, number, SIZE).astype(float)


@BOTH
def test_each_disturbance_has_its_share(camera):
    drawn = [conditions_of(0, pid, camera, number) for pid in range(600) for number in range(1, 6)]
    found = {
        "passer-by": [c.occluder == "passer-by" for c in drawn],
        "furniture": [c.occluder == "furniture" for c in drawn],
        "cut": [c.kept < 1 for c in drawn],
        "low light": [c.exposure < 0.5 for c in drawn],
        "motion blur": [c.motion > 0 for c in drawn],
        "defocus": [c.defocus > 0 for c in drawn],
        "low resolution": [c.reduction < 1 for c in drawn],
    }
    shares = {name: share for name, share in SHARES.items() if name != "misaligned"} | dict.fromkeys(VIEWS, 1 / 3)
    found |= {view: [c.view == view for c in drawn] for view in VIEWS}
    assert found.keys() == shares.keys()
    for name, share in shares.items():
        assert abs(np.mean(found[name]) - share) < 4 * math.sqrt(share * (1 - share) / len(drawn)), name
    assert not any(c.kept < 1 and c.occluder != "none" for c in drawn)  # an image keeps something to match by
    # A box that is not astray is off by less than a twentieth; of the others, which may be as good, a part.
    off = np.mean([max(map(abs, c.shift)) > 0.045 for c in drawn])
    share = SHARES["misaligned"] * (1 - 1 / 16)
    assert abs(off - share) < 4 * math.sqrt(share * (1 - share) / len(drawn))


def test_conditions_depend_on_every_word_of_an_image():
    words = dict(seed=5, pid=7, camera=VISIBLE, number=2)
    first = conditions_of(**words)
    assert conditions_of(**words) == first
    others = dict(seed=6, pid=8, camera=VISIBLE._replace(number=2), number=3)
    for name, other in others.items():
        assert conditions_of(**words | {name: other}) != first, name
    assert conditions_of(**words | {"camera": VISIBLE._replace(modality=IR)}) != first


def test_a_camera_always_looks_down_from_its_own_height():
    cameras = [Camera(number, RGB, place=number, indoor=True) for number in range(1, 7)]
    tilts = np.array([[conditions_of(0, pid, camera, 1).tilt for pid in range(100)] for camera in cameras])
    assert np.ptp(tilts, axis=1).max() <= 0.1 and np.ptp(tilts.mean(axis=1)) > 0.1


def test_hard_pictures_are_taken_under_the_conditions_of_the_image():
    for pid in range(5):
        conditions = conditions_of(1, pid, VISIBLE, 2)
        assert np.array_equal(render_hard(1, pid, VISIBLE, 2, SIZE), render_under(conditions, 1, pid, VISIBLE, 2, SIZE))


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        {"view": "back"},
        {"view": "side"},
        {"tilt": 0.3},
        {"roll": 0.06},
        {"mirrored": True},
        {"kept": 0.6},
        {"zoom": 0.8},
        {"shift": (0.15, 0.0)},
        {"shift": (0.0, 0.15)},
        {"occluder": "passer-by"},
        {"occluder": "furniture"},
        {"exposure": 0.15},
        {"motion": 6.0},
        {"defocus": 1.5},
        {"reduction": 0.4},
    ],
    ids=lambda change: "-".join(map(str, next(iter(change.items())))),
)
def test_every_condition_changes_the_picture(camera, change):
    # The noise of an image is its own whatever the conditions, so nothing else differs.
    changed = np.mean([np.abs(draw(camera, pid) - draw(camera, pid, **change)).mean() for pid in range(8)])
    assert changed > 1


@BOTH
@pytest.mark.parametrize("occluder", ["passer-by", "furniture"])
def test_what_is_in_front_hides_a_part(camera, occluder):
    hidden = [(draw(camera, pid) != draw(camera, pid, occluder=occluder)).any(axis=-1).mean() for pid in range(30)]
    assert min(hidden) > 0.03 and np.mean(hidden) > 0.15 and max(hidden) < 0.75


def place(point, **changes):
    """Where a pixel of the picture lies in the drawing."""
    a, b, c, d, e, f, g, h = homography(dataclasses.replace(PLAIN, **changes), SIZE)
    x, y = point
    return np.array([a * x + b * y + c, d * x + e * y + f]) / (g * x + h * y + 1)


def test_homography_by_hand():
    corners = [(0, 0), (64, 0), (64, 128), (0, 128), (20, 50)]
    for point in corners:
        assert place(point) == pytest.approx(point)
        assert place(point, mirrored=True) == pytest.approx((64 - point[0], point[1]))
        assert place(point, zoom=2.0) == pytest.approx((32 + (point[0] - 32) / 2, 64 + (point[1] - 64) / 2))
        assert place(point, shift=(0.25, -0.5)) == pytest.approx((point[0] - 16, point[1] + 32))
    # Cut: the picture's top stays the drawing's, its bottom is where the kept part ends.
    assert place((32, 0), kept=0.6) == pytest.approx((32, 0))
    assert place((32, 128), kept=0.6) == pytest.approx((32, 0.6 * 128))
    # From above: head and feet stay at the edges, the head's pixels show less of the drawing (it is larger), the feet's more.
    assert place((32, 0), tilt=0.3) == pytest.approx((32, 0))
    assert place((32, 128), tilt=0.3) == pytest.approx((32, 128))
    head, feet = (place((64, y), tilt=0.3)[0] - place((0, y), tilt=0.3)[0] for y in (0, 128))
    assert feet / head == pytest.approx(1.3 / 0.7)
    assert head < 64 < feet


def test_motion_blur_is_the_mean_along_a_line():
    pixels = np.zeros((9, 9, 1), np.float32)
    pixels[4, 4] = 9
    assert motion_blur(pixels, 3.0, 0.0)[4, :, 0].tolist() == [0, 0, 0, 3, 3, 3, 0, 0, 0]
    for angle, along in ((0.0, 1), (math.pi / 2, 0)):
        smeared = motion_blur(pixels, 4.0, angle)[..., 0]
        assert smeared.sum() == pytest.approx(9)
        assert np.count_nonzero(smeared.sum(axis=1 - along)) == 4 and np.count_nonzero(smeared.sum(axis=along)) == 1
    flat = np.full((9, 9, 3), 7, np.float32)
    assert np.allclose(motion_blur(flat, 5.0, 0.3), 7)  # nothing comes in from the edges


def sensed(camera, value=128.0, exposure=1.0, image=0):
    channels = 1 if camera.modality == IR else 3
    pixels = np.full((128, 64, channels), value, np.float32)
    return apply_sensor(pixels, 0, camera, exposure, SIZE, np.random.default_rng(image)).astype(float)


@BOTH
def test_less_light_is_darker_and_noisier(camera):
    def noise(exposure):
        # Of neighbors in a column, which share offset, lamp and cast.
        images = [sensed(camera, exposure=exposure, image=image) for image in range(4)]
        return np.mean([np.diff(image, axis=0).std() / image.mean() for image in images])

    assert noise(0.15) > 1.5 * noise(0.5) and noise(0.5) > 1.2 * noise(1.0)
    assert sensed(camera, exposure=0.15).mean() < 0.7 * sensed(camera).mean()


@BOTH
def test_brighter_pixels_have_more_noise(camera):
    dark, bright = (np.diff(sensed(camera, value), axis=0).std() for value in (20.0, 180.0))
    assert bright > 1.5 * dark


def test_colors_fade_in_the_dark():
    pixels = np.tile(np.float32([200, 60, 60]), (128, 64, 1))

    def saturation(exposure):
        red, green, _ = apply_sensor(pixels, 0, VISIBLE, exposure, SIZE, np.random.default_rng(0)).mean(axis=(0, 1))
        return (red - green) / (red + green)

    assert saturation(0.1) < 0.6 * saturation(1.0)


def test_lamps_of_ir_cameras_do_not_reach_the_edges_in_the_dark():
    def spot(exposure):
        images = np.mean([sensed(INFRARED, exposure=exposure, image=image) for image in range(20)], axis=0)
        return images[60:68, 28:36].mean() / images[:8, :8].mean()

    assert spot(0.15) > 1.5 * spot(1.0) > 1.5


@BOTH
def test_a_camera_has_one_fixed_pattern(camera):
    def pattern(camera, images):
        # Differences of neighbors in the mean of many images: light and lamps vary slowly, noise goes away.
        mean = np.mean([sensed(camera, image=image) for image in images], axis=0).mean(axis=-1)
        return np.diff(mean, axis=1).ravel()

    one, again = pattern(camera, range(30)), pattern(camera, range(30, 60))
    other = pattern(camera._replace(number=5), range(30, 60))
    assert np.corrcoef(one, again)[0, 1] > 0.3
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
