"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

It is written from the paper's formulas with sparse matrices; the equation numbers are the paper's. N = Q + G images, queries first.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from torchreid_rgbir.metrics.distance import DistanceRows

BLOCK_BYTES = 2**27  # working memory for one block of rows

Progress = Callable[..., Iterable[Any]]  # called as `terminal.progress`: (items, text, unit=...) -> the same items


def no_progress(items: Iterable[Any], text: str, *, unit: str) -> Iterable[Any]:
    """Reports nothing."""
    return items


class Rerank(NamedTuple):
    """The settings of a re-ranking; calling them with features re-ranks.

    Attributes:
        k1: size of the k-reciprocal neighborhood.
        k2: number of neighbors averaged in the local query expansion; 1 = none.
        weight: the paper's lambda, the original distance's share in the final one.
    """

    k1: int
    k2: int
    weight: float

    def settings(self) -> dict:
        """The settings with their keys in results.json."""
        return {"k1": self.k1, "k2": self.k2, "lambda": self.weight}

    def __call__(
        self, query: NDArray, gallery: NDArray, metric: str = "cosine", progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        return re_rank(query, gallery, self.k1, self.k2, self.weight, metric, progress)


def re_rank(
    query: NDArray,
    gallery: NDArray,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    metric: str = "cosine",
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Re-ranked distances of every query to every gallery image.

    The original distance is the squared one, divided by each image's largest, as in torchreid's `re_ranking`.

    Args:
        query, gallery, metric: as in `distances`.
        k1, k2, weight: as in `Rerank`.
        progress: wraps the loops, for example in `terminal.progress`.

    Returns:
        (Q, G): (1 - weight) * Jaccard distance + weight * original distance.

    Raises:
        ValueError: k1 or k2 is below 1, weight is outside [0, 1], there is nothing to rank, or a feature is not finite.
    """
    if k1 < 1 or k2 < 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"re-ranking with k1 {k1}, k2 {k2}, lambda {weight}: choose k1 and k2 of at least 1 and lambda from 0 to 1"
        )
    if not len(query) or not len(gallery):
        raise ValueError("re-ranking needs at least one query and one gallery image")
    for name, rows in (("query", query), ("gallery image", gallery)):
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise ValueError(f"{name} {int(np.argmin(finite))} has a feature that is not finite: extract it again")
    num_queries = len(query)
    features = np.concatenate([query, gallery])
    nearest, largest, original = _neighbors(features, num_queries, max(k1 + 1, k2), metric, progress)
    expanded = _expanded_reciprocal(nearest, k1)
    weights = _gaussian_weights(expanded, features, largest, metric, progress)
    if k2 > 1:  # local query expansion, eq. (11)
        weights = (_indicator(nearest[:, :k2]) @ weights) / min(k2, len(features))
    original *= weight
    original += (1 - weight) * _jaccard(weights.tocsr(), num_queries, progress)
    return original


def _neighbors(
    features: NDArray, num_queries: int, count: int, metric: str, progress: Progress
) -> tuple[NDArray[np.int64], NDArray, NDArray[np.float32]]:
    """The nearest `count` images of each image, itself included (N, count); its largest squared distance (N,); original distances (Q, G)."""
    num_images = len(features)
    count = min(count, num_images)
    nearest = np.empty((num_images, count), np.int64)
    largest = np.empty(num_images, features.dtype)
    original = np.empty((num_queries, num_images - num_queries), np.float32)
    distances = DistanceRows(features, features, metric)
    for block in progress(_blocks(num_images, num_images * 16), "nearest neighbors", unit="block"):
        dist = np.square(distances.rows(block))  # (block, N)
        # Identical images have no distance to divide by.
        largest[block] = np.maximum(dist.max(axis=1), np.finfo(dist.dtype).tiny)
        stop = min(block.stop, num_queries)
        if block.start < stop:
            rows = slice(block.start, stop)
            original[rows] = dist[: stop - block.start, num_queries:] / largest[rows, None]
        own = np.arange(block.start, block.stop)
        dist[own - block.start, own] = -1  # an image is its own nearest, even if others equal it
        closest = np.sort(np.argpartition(dist, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(np.take_along_axis(dist, closest, axis=1), axis=1, kind="stable")
        nearest[block] = np.take_along_axis(closest, order, axis=1)
    return nearest, largest, original


def _indicator(neighbors: NDArray[np.int64]) -> sparse.csr_matrix:
    """(N, N) with a one where the column is among the row's neighbors (N, k)."""
    num_images, count = neighbors.shape
    indptr = np.arange(0, num_images * count + 1, count)
    return sparse.csr_matrix((np.ones(neighbors.size, np.float32), neighbors.ravel(), indptr), (num_images, num_images))


def _reciprocal(nearest: NDArray[np.int64], k: int) -> sparse.csr_matrix:
    """R(i, k), eq. (3): the images among the k nearest of i (and i itself) that have i among their k nearest."""
    within = _indicator(nearest[:, : k + 1])
    return within.multiply(within.T).tocsr()


def _expanded_reciprocal(nearest: NDArray[np.int64], k1: int) -> sparse.csr_matrix:
    """R*(i, k1), eq. (5): R(i, k1) with every R(j, k1 / 2), j in R(i, k1), of which more than two thirds are in R(i, k1)."""
    full = _reciprocal(nearest, k1)
    half = _reciprocal(nearest, round(k1 / 2))  # halves round to even, as in the authors' code
    sizes = np.diff(half.indptr)
    shared = (full @ half.T).multiply(full).tocsr()  # |R(i, k1) & R(j, k1 / 2)| for j in R(i, k1)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.float32)
    expanded = full + shared @ half
    expanded.eliminate_zeros()
    expanded.sort_indices()
    return expanded.tocsr()


def _gaussian_weights(
    expanded: sparse.csr_matrix, features: NDArray, largest: NDArray, metric: str, progress: Progress
) -> sparse.csr_matrix:
    """V, eq. (7), each row scaled to sum 1: exp(-original distance) on the expanded neighborhood."""
    weights = expanded.astype(np.float32)
    num_images = len(features)
    distances = DistanceRows(features, features, metric)
    for block in progress(_blocks(num_images, num_images * 8), "weighting neighbors", unit="block"):
        dist = np.square(distances.rows(block))  # (block, N)
        entries = slice(expanded.indptr[block.start], expanded.indptr[block.stop])
        rows = np.repeat(np.arange(len(dist)), np.diff(expanded.indptr[block.start : block.stop + 1]))
        scaled = dist[rows, expanded.indices[entries]] / largest[block][rows]
        weights.data[entries] = np.exp(-scaled)
    row_sums = np.asarray(weights.sum(axis=1)).ravel()
    return sparse.diags(1 / row_sums) @ weights


def _jaccard(weights: sparse.csr_matrix, num_queries: int, progress: Progress) -> NDArray[np.float32]:
    """Jaccard distance of every query to every gallery image, eq. (10): (Q, G)."""
    num_gallery = weights.shape[0] - num_queries
    gallery = weights[num_queries:].tocsc()
    dist = np.empty((num_queries, num_gallery), np.float32)
    for i in progress(range(num_queries), "re-ranking", unit="query"):
        own = slice(weights.indptr[i], weights.indptr[i + 1])
        columns = gallery[:, weights.indices[own]]
        own_weights = np.repeat(weights.data[own], np.diff(columns.indptr))
        smaller = np.bincount(columns.indices, np.minimum(columns.data, own_weights), num_gallery)
        dist[i] = 1 - smaller / (2 - smaller)  # rows sum to 1, so the larger ones sum to 2 - smaller
    return dist


def _blocks(num_rows: int, bytes_per_row: int) -> list[slice]:
    step = max(BLOCK_BYTES // bytes_per_row, 1)
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]
