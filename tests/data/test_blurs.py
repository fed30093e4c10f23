"""Blurs of single points and edges, whose result can be told in advance. `test_corruptions` compares whole images."""

import numpy as np
import pytest

from torchreid_rgbir.data.blurs import defocus_blur, glass_blur, motion_blur, zoom_blur, zoomed

RNG = np.random.default_rng


def point(size=8):
    """A white square in the middle of a black image of 288 x 144 pixels."""
    image = np.zeros((288, 144, 1))
    image[144 - size // 2 : 144 + size // 2, 72 - size // 2 : 72 + size // 2] = 1
    return image


def reach(image):
    """The largest distance from the center, in pixels, at which the image is not black; along either axis."""
    rows, columns = np.nonzero(image[..., 0] > 0.03)
    return max(np.abs(rows - 143.5).max(), np.abs(columns - 71.5).max())


def test_glass_blur_moves_pixels_a_little():
    """By at most 4 pixels in each of two rounds, but a moved pixel may be moved again; and the blur adds some."""
    found = glass_blur(point(), 5, RNG(0))
    assert 4 < reach(found) < 4 + 2 * 4 + 4
    assert found.sum() == pytest.approx(64, rel=0.5)


def test_motion_blur_starts_at_the_pixel_and_repeats_the_border():
    image = np.zeros((288, 144, 3))
    image[:, :72] = 1
    for seed in range(5):
        found = motion_blur(image, 3, RNG(seed))
        assert (found[:, 71] < 1).all() and (found[:, 72:] == 0).all() and found[:, :30] == pytest.approx(1)


@pytest.mark.parametrize("level, radius", list(enumerate((3, 4, 6, 8, 10), start=1)))
def test_defocus_turns_a_point_into_a_disk(level, radius):
    dot = np.zeros((288, 144, 1))
    dot[144, 72] = 1
    found = defocus_blur(dot, level, RNG(0))
    assert found.sum() == pytest.approx(1)
    rows, _, _ = np.nonzero(found > found.max() / 2)
    assert rows.max() - rows.min() == pytest.approx(2 * radius, abs=2)
    assert found[144, 72] == pytest.approx(1 / (np.pi * radius**2), rel=0.1)


def test_zooming_keeps_the_center_and_crops_the_border():
    image = point(8)
    assert reach(zoomed(image, 2)) == pytest.approx(2 * 4, abs=0.6)
    np.testing.assert_allclose(zoomed(image, 1), image)
    assert zoom_blur(image, 5, RNG(0))[143, 71] == pytest.approx(1)
