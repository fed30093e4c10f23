"""Distances between features, cosine or Euclidean, the same whatever the block they are computed in."""

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "euclidean")

# A matrix product rounds an element differently in a kernel for whole tiles and in one for the ragged edge. Padded to whole
# tiles, every element takes the same path, so equal rows have exactly equal distances and blocks do not show in the result.
TILE = 192


def distances(query: NDArray, gallery: NDArray, metric: str = "cosine") -> NDArray:
    """The distance of every query to every gallery image.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features of the same dtype.
        metric: "cosine", 1 - cos in [0, 2] up to rounding; a feature of all zeros has cos 0 to everything. Or "euclidean".

    Returns:
        (Q, G), in the features' dtype.
    """
    return DistanceRows(query, gallery, metric).rows(slice(0, len(query)))


class DistanceRows:
    """Distances by blocks of queries, for galleries whose full (Q, G) matrix is not wanted at once.

    Args:
        query, gallery, metric: as in `distances`.

    Raises:
        ValueError: an unknown metric.
    """

    def __init__(self, query: NDArray, gallery: NDArray, metric: str = "cosine"):
        if metric not in METRICS:
            raise ValueError(f"distance {metric!r} is unknown: choose one of {', '.join(METRICS)}")
        self.metric = metric
        self.query = query
        self.num_gallery = len(gallery)
        self.gallery = _padded(gallery)  # (whole tiles, D)
        if metric == "cosine":
            self.gallery /= _norms(self.gallery)
        else:
            self.gallery_squares = _squares(self.gallery)

    def rows(self, block: slice) -> NDArray:
        """Distances of the queries in `block`: (block, G)."""
        query = _padded(self.query[block])
        if self.metric == "cosine":
            query /= _norms(query)
            dist = query @ self.gallery.T  # (whole tiles, whole tiles)
            np.subtract(1, dist, out=dist)
        else:
            dist = query @ self.gallery.T
            dist *= -2
            dist += _squares(query)[:, None]
            dist += self.gallery_squares
            np.sqrt(np.maximum(dist, 0, out=dist), out=dist)
        return dist[: len(self.query[block]), : self.num_gallery]


def _padded(features: NDArray) -> NDArray:
    """A copy with zero rows up to a whole number of tiles."""
    num_rows = -(-len(features) // TILE) * TILE
    padded = np.zeros((num_rows, features.shape[1]), features.dtype)
    padded[: len(features)] = features
    return padded


def _norms(features: NDArray) -> NDArray:
    """Lengths of the rows, (N, 1); 1 for a row of zeros."""
    norms = np.sqrt(_squares(features))[:, None]
    norms[norms == 0] = 1
    return norms


def _squares(features: NDArray) -> NDArray:
    return np.einsum("nd,nd->n", features, features)  # no (N, D) intermediate
