"""Exact search: the references nearest to each query, by one matrix product."""

import numpy as np
from numpy.typing import NDArray

SCORES_BYTES = 2**28  # working memory for the scores of one block of queries
RUN = 128  # references whose best score stands for them all when a bound is sought


def nearest(
    queries: NDArray[np.float32],
    references: NDArray[np.float32],
    k: int,
    seen: NDArray[np.bool_] | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The k references with the highest cosine to each query.

    The product in float32 finds the candidates, float64 orders them: so equal references have equal scores whatever their
    place, and those that tie come in the order of their rows.

    Args:
        queries: (Q, D), of length 1.
        references: (N, D), of length 1.
        k: at most so many; fewer where fewer are seen.
        seen: (N,) which references take part; None: all.

    Returns:
        For each query the rows and their cosines, best first.
    """
    num_references, dim = references.shape
    num_seen = num_references if seen is None else int(np.count_nonzero(seen))
    k = min(k, num_seen)
    if k == 0:
        return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    hidden = None if seen is None else ~seen
    # What rounding may move a sum of `dim` products of unit vectors by, on both sides of the k-th.
    margin = 2 * dim * float(np.finfo(np.float32).eps)
    block = max(1, SCORES_BYTES // (4 * num_references))
    found = []
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ references.T  # (block, N)
        if hidden is not None:
            np.copyto(scores, -np.inf, where=hidden)
        lowest = np.maximum(_bound(scores, k) - margin, np.finfo(np.float32).min)  # what is hidden stays below it
        for query, row, low in zip(queries[start : start + block], scores, lowest, strict=True):
            found.append(_ordered(query, references, np.flatnonzero(row >= low), k))
    return found


def unit(features: NDArray) -> NDArray[np.float32]:
    """Features (N, D) scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.ascontiguousarray(features / lengths, dtype=np.float32)


def _bound(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that at least k of each row reach, and few more: the k-th best among the best of runs of references.

    One pass over the scores, where a selection would take several. It is NumPy's, as the product is: two libraries' threads that wait
    for each other's work take longer than the work.
    """
    num = scores.shape[1]
    length = min(RUN, max(1, num // (4 * k)))
    whole = num - num % length
    best = scores[:, :whole].reshape(len(scores), -1, length).max(axis=2)  # (Q, runs)
    return np.partition(best, -k, axis=1)[:, -k]


def _ordered(
    query: NDArray[np.float32], references: NDArray[np.float32], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    cosines = (references[candidates].astype(np.float64) * query).sum(axis=1).astype(np.float32)
    order = np.argsort(-cosines, kind="stable")[:k]
    return candidates[order], cosines[order]
