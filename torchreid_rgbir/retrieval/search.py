"""Exact search: finds the references nearest to each query with one matrix product."""

import numpy as np
from numpy.typing import NDArray

SCORES_BYTES = 2**28  # working memory for the scores of one block of queries
RUN = 128  # consecutive references that share one maximum when the k-th best score is bounded


def nearest(
    queries: NDArray[np.float32], references: NDArray[np.float32], k: int, valid: NDArray[np.bool_] | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Returns the k references with the highest cosine to each query.

    The float32 product finds candidates and float64 orders them. So equal references have equal scores wherever they are
    in the table, and ties are in row order.

    Args:
        queries: (Q, D), of length 1.
        references: (N, D), of length 1.
        k: largest number of results. There are fewer if fewer references are valid.
        valid: (N,) the references that take part. None selects all.

    Returns:
        For each query the row numbers and their cosines, best first.
    """
    num_references, dim = references.shape
    num_valid = num_references if valid is None else int(np.count_nonzero(valid))
    k = min(k, num_valid)
    if k == 0:
        return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    ignored = None if valid is None else ~valid
    # Largest rounding error of a sum of `dim` products of unit vectors, on both sides of the k-th best score.
    margin = 2 * dim * float(np.finfo(np.float32).eps)
    block = max(1, SCORES_BYTES // (4 * num_references))
    found = []
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ references.T  # (block, N)
        if ignored is not None:
            np.copyto(scores, -np.inf, where=ignored)
        lowest = np.maximum(_bound(scores, k) - margin, np.finfo(np.float32).min)  # ignored references stay below it
        for query, row, low in zip(queries[start : start + block], scores, lowest, strict=True):
            found.append(_ordered(query, references, np.flatnonzero(row >= low), k))
    return found


def unit(features: NDArray) -> NDArray[np.float32]:
    """Scales features (N, D) to length 1. Zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.ascontiguousarray(features / lengths, dtype=np.float32)


def _bound(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that at least k entries of each row reach, and few more: the k-th best among the maxima of short runs.

    It needs one pass over the scores, where a selection needs several. NumPy computes it because NumPy also computes the
    product: the thread pools of two libraries that wait for each other take longer than the computation.
    """
    num = scores.shape[1]
    length = min(RUN, max(1, num // (4 * k)))
    complete = num - num % length
    best = scores[:, :complete].reshape(len(scores), -1, length).max(axis=2)  # (Q, runs)
    return np.partition(best, -k, axis=1)[:, -k]


def _ordered(
    query: NDArray[np.float32], references: NDArray[np.float32], candidates: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    cosines = (references[candidates].astype(np.float64) * query).sum(axis=1).astype(np.float32)
    order = np.argsort(-cosines, kind="stable")[:k]
    return candidates[order], cosines[order]
