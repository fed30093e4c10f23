import numpy as np
import pytest

from torchreid_rgbir.benchmark import search

pytest.importorskip("lancedb")


def test_features_are_clustered():
    centers = search.centers_of(500)
    categories, features = search.sample(centers, 300, np.random.default_rng(0))
    cosines = features @ centers.T
    np.testing.assert_array_equal(cosines.argmax(1), categories)
    assert cosines.max(1).mean() == pytest.approx((1 + search.NOISE**2) ** -0.5, abs=0.01)


def test_figures_and_their_names():
    measured = search.search(rounds=2, num_exact=400, num_indexed=2000, num_queries=30)
    assert (
        set(measured["ratios"])
        == set(measured["spread"])
        == {
            "search_exact_over_index",
            "search_exact_over_index_filtered",
        }
    )
    for name, (low, high) in measured["spread"].items():
        assert 0 < low <= measured["ratios"][name] <= high
    assert {name.removeprefix("search_400_") for name in measured["medians"] if "_400_" in name} == {
        "open",
        "batches",
        "batches_filtered",
        "alone",
        "alone_filtered",
    }
    assert {"search_2000_index", "search_2000_index_alone", "search_2000_exact_alone", "search_2000_add"} < set(
        measured["medians"]
    )
    assert 0 < measured["limits"]["search_400_batches"][0] < measured["medians"]["search_400_batches"]
    assert all(0.9 < recall <= 1 for recall in measured["recalls"].values())
    assert measured["memory"]["search_index_on_disk"] > 2000 * search.DIM  # a byte a number, and a graph
