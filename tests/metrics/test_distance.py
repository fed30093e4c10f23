import math

import numpy as np
import pytest

from torchreid_rgbir.metrics.distance import METRICS, DistanceRows, distances


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_equals_a_plain_loop(metric, dtype):
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((7, 5)).astype(dtype), rng.standard_normal((9, 5)).astype(dtype)
    dist = distances(query, gallery, metric)
    assert dist.dtype == dtype
    for i, a in enumerate(query.tolist()):
        for j, b in enumerate(gallery.tolist()):
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            expected = math.dist(a, b) if metric == "euclidean" else 1 - dot / (math.hypot(*a) * math.hypot(*b))
            assert dist[i, j] == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_of_queries_give_the_whole(metric):
    rng = np.random.default_rng(1)
    query, gallery = rng.standard_normal((300, 100)), rng.standard_normal((400, 100))
    rows = DistanceRows(query, gallery, metric).rows
    blocks = np.concatenate([rows(slice(i, i + 29)) for i in range(0, 300, 29)])
    np.testing.assert_allclose(blocks, distances(query, gallery, metric), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [3, 64, 333, 2048])
def test_equal_images_are_at_exactly_equal_distances(metric, dim, dtype):
    rng = np.random.default_rng(dim)
    gallery = rng.standard_normal((237, dim)).astype(dtype)
    same = [0, 1, 7, 50, 100, 191, 192, 236]
    gallery[same] = gallery[0]
    dist = distances(rng.standard_normal((37, dim)).astype(dtype), gallery, metric)
    assert dist.shape == (37, 237)
    assert (dist[:, same] == dist[:, :1]).all()
    assert len(np.unique(dist[0])) > 200


def test_a_feature_of_zeros_is_at_cosine_distance_one():
    zeros = np.zeros((1, 3), np.float32)
    assert distances(zeros, np.float32([[1, 2, 3], [0, 0, 0]])).tolist() == [[1, 1]]


def test_the_features_stay_as_they_were():
    features = np.random.default_rng(2).standard_normal((4, 3))
    before = features.copy()
    distances(features, features, "cosine")
    np.testing.assert_array_equal(features, before)


def test_unknown_metric():
    with pytest.raises(ValueError, match="'manhattan' is unknown: choose one of cosine, euclidean"):
        distances(np.ones((1, 1)), np.ones((1, 1)), "manhattan")


def test_an_offset_that_all_share_costs_no_digits():
    identities = 0.01 * np.eye(20, dtype=np.float32)
    dist = distances(100 + identities, 100 + identities, "euclidean")
    expected = 0.01 * math.sqrt(2) * (1 - np.eye(20))
    np.testing.assert_allclose(dist, expected, atol=1e-4)


def test_whole_numbers_tie_exactly_whatever_their_mean():
    rng = np.random.default_rng(3)
    query, gallery = (rng.integers(0, 9, (num, 7)).astype(np.float32) + 50 for num in (20, 61))
    whole = ((query[:, None].astype(int) - gallery[None].astype(int)) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances(query, gallery, "euclidean"), np.sqrt(whole.astype(np.float32)))
