"""Cosine and Euclidean distances between features, all together or by blocks of queries."""

import hashlib

import numpy as np
from numpy.typing import NDArray

METRICS = ("cosine", "euclidean")


def distances(query: NDArray, gallery: NDArray, metric: str = "cosine") -> NDArray:
    """The distance of every query to every gallery image.

    Args:
        query, gallery: (Q, D) and (G, D) features of the same dtype.
        metric: "cosine" (1 - cos, from 0 to 2 up to rounding; a feature of zeros has cos 0 to every feature) or "euclidean".

    Returns:
        (Q, G), in the features' dtype.

    Examples:
        >>> distances(np.array([[1.0, 0.0]]), np.array([[5.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]))
        array([[0., 1., 2.]])
    """
    return DistanceRows(query, gallery, metric).rows(slice(0, len(query)))


class DistanceRows:
    """Distances by blocks of queries, for galleries whose (Q, G) matrix is too large to hold.

    Args:
        query, gallery, metric: as in `distances`.

    Raises:
        ValueError: the metric is unknown.
    """

    def __init__(self, query: NDArray, gallery: NDArray, metric: str = "cosine"):
        if metric not in METRICS:
            raise ValueError(f"distance {metric!r} is unknown: choose one of {', '.join(METRICS)}")
        self.metric = metric
        self.query = query
        # A matrix product may round equal columns differently, depending on their position. Each distinct feature is multiplied
        # once, so that equal images have exactly equal distances on any machine.
        first, self.place = _distinct(gallery)
        if len(first) < len(gallery):
            gallery = gallery[first]
        if metric == "cosine":
            self.gallery = gallery / _norms(gallery)  # (distinct, D)
        else:
            # A large offset that all images share would absorb their differences. The mean is rounded, so that integers stay
            # integers and their distances exact.
            self.origin = np.rint(gallery.mean(axis=0))  # (D,)
            self.gallery = gallery - self.origin  # (distinct, D)
            self.gallery_squares = _squares(self.gallery)

    def rows(self, block: slice) -> NDArray:
        """Distances of the queries in `block`: (block, G)."""
        query = self.query[block]
        if self.metric == "cosine":
            dist = (query / _norms(query)) @ self.gallery.T  # (block, distinct)
            np.subtract(1, dist, out=dist)
        else:
            query = query - self.origin
            dist = query @ self.gallery.T
            dist *= -2
            dist += _squares(query)[:, None]
            dist += self.gallery_squares
            np.sqrt(np.maximum(dist, 0, out=dist), out=dist)
        return dist if dist.shape[1] == len(self.place) else dist[:, self.place]


def _distinct(features: NDArray) -> tuple[list[int], NDArray]:
    """The rows that equal no earlier row, and for each row (N,) the position of its equal among those."""
    places: dict[bytes, int] = {}
    first: list[int] = []
    place = np.empty(len(features), np.int64)
    for row, feature in enumerate(np.ascontiguousarray(features)):
        number = places.setdefault(hashlib.blake2b(feature, digest_size=16).digest(), len(places))
        if number == len(first):
            first.append(row)
        place[row] = number
    return first, place


def _norms(features: NDArray) -> NDArray:
    """The lengths of the rows (N, 1); 1 for a row of zeros."""
    norms = np.sqrt(_squares(features))[:, None]
    norms[norms == 0] = 1
    return norms


def _squares(features: NDArray) -> NDArray:
    return np.einsum("nd,nd->n", features, features)  # no (N, D) intermediate
