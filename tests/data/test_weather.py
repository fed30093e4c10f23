"""What the added weather looks like. `test_corruptions` compares its strength with the published code."""

import numpy as np
import pytest

from torchreid_rgbir.data import weather

RNG = np.random.default_rng
BLACK, GRAY = np.zeros((288, 144, 3)), np.full((288, 144, 3), 0.5)


@pytest.mark.parametrize("decay", [1.4, 2])
def test_clouds_are_rough_at_every_size_and_continue_at_the_border(decay):
    clouds = weather._clouds(256, decay, RNG(0))
    assert clouds.shape == (256, 256) and clouds.min() == 0 and clouds.max() == 1

    def step(distance):
        return np.abs(clouds - np.roll(clouds, distance, axis=1)).mean()

    assert step(1) < step(4) < step(16) < step(64)
    inside, across = np.abs(np.diff(clouds, axis=1)).mean(), np.abs(clouds[:, 0] - clouds[:, -1]).mean()
    assert across < 3 * inside


def test_frost_has_the_gray_values_of_the_photographs():
    """On a black image, frost of level 1 is 0.4 times the ice."""
    ice = np.stack([weather.frost(BLACK, 1, RNG(seed)) for seed in range(40)]) / 0.4 * 255
    means, spreads = ice.mean(axis=(1, 2, 3)), ice.mean(axis=3).std(axis=(1, 2))
    assert 80 < means.min() < 100 and 190 < means.max() < 210
    assert 10 < spreads.min() < 20 and 25 < spreads.max() < 40
    red, green, blue = ice.mean(axis=(0, 1, 2))
    assert red < green < blue


@pytest.mark.parametrize("level, count, length", [(1, 53, 10), (3, 69, 30), (5, 82, 60)])
def test_rain_draws_streaks(level, count, length, monkeypatch):
    drawn = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.line", lambda self, line, fill: drawn.append(line))
    found = weather.rain(GRAY, level, RNG(3))
    assert len(drawn) == count and {down - up for _, up, _, down in drawn} == {length}
    assert len({right - left for left, _, right, _ in drawn}) == 1  # they are parallel
    assert all(
        min(left, right) >= -20 and max(left, right) <= 144 and up >= 0 and down <= 288
        for left, up, right, down in drawn
    )
    np.testing.assert_allclose(found, 0.5 - 0.05 * (level + 1))  # the image without streaks is darkened


def test_drops_of_water_are_turquoise_and_mud_is_brown():
    water = weather.spatter(GRAY, 2, RNG(0)) - GRAY
    assert water.min() > -1e-9 and water.max() == pytest.approx(0.6 * 238 / 255)
    np.testing.assert_allclose(water[..., 0] * 238, water[..., 1] * 175, atol=1e-9)
    mud = weather.spatter(GRAY, 5, RNG(0))
    covered = mud[(mud != 0.5).any(axis=2)]
    assert 0.02 < len(covered) / mud[..., 0].size < 0.5
    np.testing.assert_allclose(covered.min(axis=0), np.array([63, 42, 20]) / 255, atol=0.02)


def test_snow_falls_from_above_and_whitens():
    found = weather.snow(GRAY, 1, RNG(0))
    assert found.min() >= 0.8 * 0.5 + 0.2 * 1.25 - 1e-9  # 0.5 * 1.5 + 0.5 = 1.25
    flakes = found - found.min()
    np.testing.assert_allclose(flakes, flakes[::-1, ::-1])  # each flake once more, turned


@pytest.mark.parametrize("name", ["frost", "rain", "spatter"])
def test_colors_become_gray_on_a_gray_image(name):
    colored, gray = (getattr(weather, name)(image, 5, RNG(1)) for image in (BLACK, BLACK[..., :1]))
    np.testing.assert_allclose(gray, colored @ weather.LUMA[:, None], atol=1e-3)
