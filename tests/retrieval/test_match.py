"""The assignment of tracks: against every possible assignment, and with a threshold."""

from itertools import permutations

import numpy as np
import pytest

from torchreid_rgbir.retrieval.match import match_tracks, read_pairs


def best_by_trying(scores, threshold):
    """The largest sum over all partial assignments, and its pairs."""
    num_a, num_b = scores.shape
    best = (-np.inf, set())
    # A row may take one of the columns, or one of num_a places that stand for nobody.
    for columns in permutations(range(num_b + num_a), num_a):
        pairs = {(a, b) for a, b in enumerate(columns) if b < num_b}
        best = max(best, (sum(scores[a, b] - threshold for a, b in pairs), pairs), key=lambda one: one[0])
    return best[1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(3, 3), (3, 2), (2, 3), (1, 3)])
def test_it_is_the_best_of_all_assignments(seed, shape):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal((num, 4)) * rng.uniform(0.1, 9, (num, 1)) for num in shape)
    scores = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    found = match_tracks(a, b, threshold=0.1)
    assert {(pair.a, pair.b) for pair in found} == best_by_trying(scores, 0.1)
    for pair in found:
        assert pair.score == pytest.approx(scores[pair.a, pair.b], abs=1e-6)
    assert len(match_tracks(a, b)) == min(shape)


def test_no_track_is_matched_twice_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    people = rng.standard_normal((20, 16))
    order = rng.permutation(20)
    a, b = people + 0.3 * rng.standard_normal((20, 16)), (people + 0.3 * rng.standard_normal((20, 16)))[order]
    pairs = match_tracks(a, b, 0.5)
    assert [order[pair.b] for pair in pairs] == [pair.a for pair in pairs] == list(range(20))


def test_somebody_without_a_partner_gets_none():
    a, b = np.eye(4)[:3], np.eye(4)[[2, 3, 0]]
    assert [tuple(pair) for pair in match_tracks(a, b, 0.5)] == [(0, 2, 1.0), (2, 0, 1.0)]
    assert len(match_tracks(a, b)) == 3
    assert match_tracks(a, b, 1.01) == []


def test_features_of_different_models_are_refused():
    with pytest.raises(ValueError, match="use the model that made"):
        match_tracks(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="row 1 is not finite"):
        match_tracks(np.array([[1.0, 0], [np.nan, 0]]), np.ones((2, 2)))


def test_pairs_are_read_and_mistakes_have_a_line(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("person,a,b\nx,1,5\ny,2,4\n")
    assert read_pairs(path) == {(1, 5), (2, 4)}
    with pytest.raises(FileNotFoundError, match="none.csv is missing"):
        read_pairs(tmp_path / "none.csv")
    path.write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="pairs.csv cannot be read as pairs of tracks: it has no columns a and b"):
        read_pairs(path)
    path.write_text("a,b\n1,2\n3,\n")
    with pytest.raises(ValueError, match="pairs of tracks: line 3 has no two numbers"):
        read_pairs(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="pairs.csv cannot be read"):
        read_pairs(path)
