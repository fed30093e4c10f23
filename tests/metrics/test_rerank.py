import numpy as np
import pytest
from torchreid.reid.utils.rerank import re_ranking

from torchreid_rgbir.metrics import distances, re_rank


def people(seed: int, num_query: int = 40, num_gallery: int = 70, dim: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((12, dim))
    draw = lambda n: (centers[rng.integers(12, size=n)] + 0.6 * rng.standard_normal((n, dim))).astype(np.float32)  # noqa: E731
    return draw(num_query), draw(num_gallery)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 0.1), (1, 1, 0.5), (40, 35, 0.1)])
def test_equals_torchreids_dense_re_ranking(metric, k1, k2, weight):
    query, gallery = people(seed=k1)
    theirs = re_ranking(
        distances(query, gallery, metric),
        distances(query, query, metric),
        distances(gallery, gallery, metric),
        k1,
        k2,
        weight,
    )
    ours = re_rank(query, gallery, k1, k2, weight, metric)
    assert ours.shape == (40, 70)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_blocks_do_not_show(monkeypatch):
    query, gallery = people(seed=3, num_query=150, num_gallery=300)
    whole = re_rank(query, gallery)
    monkeypatch.setattr("torchreid_rgbir.metrics.rerank.BLOCK_BYTES", 1)
    np.testing.assert_allclose(re_rank(query, gallery), whole, atol=1e-5)


def test_neighborhoods_larger_than_the_set():
    query, gallery = people(seed=4, num_query=3, num_gallery=4)
    assert np.isfinite(re_rank(query, gallery, k1=20, k2=6)).all()


def test_identical_images_are_all_at_one_distance():
    query, gallery = np.ones((3, 4), np.float32), np.ones((30, 4), np.float32)
    assert np.isfinite(re_rank(query, gallery)).all()


def test_only_the_original_distance_at_weight_one():
    query, gallery = people(seed=5)
    everything = np.concatenate([query, gallery])
    largest = (distances(query, everything) ** 2).max(axis=1, keepdims=True)
    np.testing.assert_allclose(re_rank(query, gallery, weight=1.0), distances(query, gallery) ** 2 / largest, rtol=1e-5)


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(0, 1, 0.3), (20, 0, 0.3), (20, 6, 1.5), (20, 6, -0.1), (20, 6, float("nan"))]
)
def test_settings_out_of_range(k1, k2, weight):
    query, gallery = people(seed=6)
    with pytest.raises(ValueError, match="k1"):
        re_rank(query, gallery, k1, k2, weight)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("num_query, num_gallery", [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("k1, k2", [(1, 1), (20, 6), (1, 20)])
def test_few_images(metric, num_query, num_gallery, k1, k2):
    query, gallery = people(7, num_query, num_gallery)
    dist = re_rank(query, gallery, k1, k2, metric=metric)
    assert dist.shape == (num_query, num_gallery) and np.isfinite(dist).all() and (dist >= -1e-6).all()


@pytest.mark.parametrize("value", [0, 1, 1e-18, 1e18])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_features_have_equal_finite_distances(value, metric):
    same = np.full((9, 4), value, np.float32)
    dist = re_rank(same[:3], same[3:], metric=metric)
    assert np.isfinite(dist).all() and len(np.unique(dist)) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite(bad):
    query, gallery = people(8)
    gallery[3, 2] = bad
    with pytest.raises(ValueError, match="gallery image 3 has a feature that is not finite"):
        re_rank(query, gallery)
    with pytest.raises(ValueError, match="query 3 has a feature that is not finite"):
        re_rank(gallery, query)


def test_nothing_to_rank():
    query, gallery = people(9)
    for some, others in ((query[:0], gallery), (query, gallery[:0])):
        with pytest.raises(ValueError, match="re-ranking needs at least one query and one gallery image"):
            re_rank(some, others)


def test_the_loops_are_reported():
    shown = []

    def progress(items, text, *, unit):
        shown.append((text, unit))
        return items

    query, gallery = people(10)
    assert (re_rank(query, gallery, progress=progress) == re_rank(query, gallery)).all()
    assert shown == [("nearest neighbors", "block"), ("weighting neighbors", "block"), ("re-ranking", "query")]
