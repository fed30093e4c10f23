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
