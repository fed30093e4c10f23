import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.modality import IR
from torchreid_rgbir.visual.embedding import choose_identities, draw_embedding, plane
from torchreid_rgbir.visual.figure import WIDTH


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_clusters_stay_together_in_the_plane(features, distance):
    points = plane(features.features, distance)
    assert points.shape == (len(features), 2)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (features.pids[apart.argmin(axis=1)] == features.pids).mean() > 0.95
    np.testing.assert_array_equal(points, plane(features.features, distance))


def test_identities_of_both_modalities_are_chosen_evenly(features):
    assert set(choose_identities(features, 3).pids) == {0, 2, 5}
    assert set(choose_identities(features, 50).pids) == set(range(6))
    without = features.take((features.pids != 0) | (features.modalities == IR))
    assert set(choose_identities(without, 50).pids) == {1, 2, 3, 4, 5}


def test_the_picture_shows_each_identity(features):
    picture = draw_embedding(features, num_ids=4)
    assert picture.size == (WIDTH, WIDTH)
    pixels = np.asarray(picture).reshape(-1, 3)
    saturated = pixels[np.ptp(pixels.astype(int), axis=1) > 40]
    colors, counts = np.unique(saturated, axis=0, return_counts=True)
    assert len(colors[counts > 50]) >= 4


def test_what_cannot_be_drawn_is_said(features):
    with pytest.raises(ValueError, match="no identity has RGB and IR images"):
        draw_embedding(dataclasses.replace(features, pids=np.arange(len(features))))
    one = features.take(np.flatnonzero(features.pids == 0)[[0, 4]])
    with pytest.raises(ValueError, match="at least 3 images, but there are 2"):
        draw_embedding(one)


DEGENERATE = {
    "equal": np.ones((40, 16)),
    "zeros": np.zeros((40, 16)),
    "tiny": 1e-30 * np.arange(640.0).reshape(40, 16),
    "three equal": np.ones((3, 16)),
    "not finite": np.full((40, 16), np.nan),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_features_without_any_difference_are_an_error_and_not_a_crash(name):
    """scikit-learn ends the process with a segmentation fault."""
    with pytest.raises(ValueError, match="features are equal|needs finite features"):
        plane(DEGENERATE[name].astype(np.float32))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_nearly_equal_features_are_drawn(distance):
    features = np.ones((40, 16), np.float32)
    features[-1] = 2
    assert np.isfinite(plane(features, distance)).all()


def test_a_collapsed_model_has_a_figure_that_says_so(features):
    collapsed = dataclasses.replace(features, features=np.ones_like(features.features))
    image = draw_embedding(collapsed)
    assert image.size == (WIDTH, WIDTH)
    dark = np.asarray(image.convert("L")) < 128
    assert dark[: WIDTH // 3].sum() == 0 < dark[WIDTH // 3 : 2 * WIDTH // 3].sum()  # one text in the middle
