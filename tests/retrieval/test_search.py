import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchreid_rgbir.retrieval import search
from torchreid_rgbir.retrieval.search import nearest, unit


def loop(queries, references, k, seen):
    """A plain loop: the k seen rows of the highest cosine, ties by row."""
    answers = []
    for query in queries:
        scored = []
        for row, reference in enumerate(references):
            if seen[row]:
                scored.append((-np.float32(np.sum(reference.astype(np.float64) * query)), row))
        answers.append([row for _, row in sorted(scored)[:k]])
    return answers


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.integers(1, 5),
    st.integers(1, 70),
    st.sampled_from([1, 3, 17]),
    st.floats(0, 1),
)
def test_nearest_is_the_loop_with_ties_and_a_filter(seed, num, num_queries, k, dim, share):
    rng = np.random.default_rng(seed)
    # Few different values: equal rows and equal scores abound.
    references = unit(rng.integers(-1, 2, (num, dim)).astype(np.float32))
    queries = unit(rng.integers(-1, 2, (num_queries, dim)).astype(np.float32))
    seen = rng.random(num) <= share
    found = nearest(queries, references, k, seen)
    assert [rows.tolist() for rows, _ in found] == loop(queries, references, k, seen)
    for query, (rows, scores) in zip(queries, found, strict=True):
        np.testing.assert_allclose(scores, references[rows] @ query, atol=1e-6)


def test_equal_references_tie_wherever_they_stand():
    """Rounding in a matrix product depends on the place of a row; the answer must not."""
    rng = np.random.default_rng(0)
    row = rng.standard_normal((1, 513))
    references = unit(np.repeat(row, 1037, 0))
    queries = unit(rng.standard_normal((5, 513)))
    for k in (3, 500, 1037):
        for rows, scores in nearest(queries, references, k):
            assert rows.tolist() == list(range(k))
            assert len(set(scores.tolist())) == 1


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(0)
    queries, references = (unit(rng.standard_normal((num, 16))) for num in (23, 90))
    whole = nearest(queries, references, 5)
    monkeypatch.setattr(search, "SCORES_BYTES", 4 * 90 * 4)  # four queries a block
    for (rows, scores), (same_rows, same_scores) in zip(nearest(queries, references, 5), whole, strict=True):
        assert rows.tolist() == same_rows.tolist()
        assert scores.tolist() == same_scores.tolist()


def test_unit():
    scaled = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_nothing_to_find():
    assert [len(rows) for rows, _ in nearest(np.ones((2, 3), np.float32), np.empty((0, 3), np.float32), 4)] == [0, 0]
    seen = np.zeros(5, bool)
    assert nearest(np.ones((1, 3), np.float32), np.ones((5, 3), np.float32), 4, seen)[0][0].tolist() == []


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_length_of_a_query_does_not_matter(scale):
    rng = np.random.default_rng(0)
    queries, references = rng.standard_normal((4, 8)), unit(rng.standard_normal((30, 8)))
    expected = nearest(unit(queries), references, 5)
    for (rows, _), (same, _) in zip(nearest(unit(scale * queries), references, 5), expected, strict=True):
        assert rows.tolist() == same.tolist()
