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
