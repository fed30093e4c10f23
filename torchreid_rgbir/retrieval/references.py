"""References in memory: their table and features, searched exactly."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.reference_table import EVERYTHING, Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.search import nearest, unit


class Searchable(Protocol):
    """Anything that finds nearest references: `References` in memory, or a `Gallery`."""

    def __len__(self) -> int: ...
    def search(self, queries: NDArray, k: int = 10, where: Filter = ...) -> list[list[ReferenceMatch]]: ...


@dataclass(frozen=True)
class References:
    """N images and their features."""

    rows: ReferenceTable
    features: NDArray[np.float32]  # (N, D), of length 1

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: NDArray, k: int = 10, where: Filter = EVERYTHING) -> list[list[ReferenceMatch]]:
        """Returns the references nearest to each query.

        Args:
            queries: (Q, D), of any length.
            k: largest number of matches. There are fewer if the filter selects fewer references.
            where: selects the references that take part.

        Returns:
            For each query its matches, best first. Ties are in row order.

        Raises:
            ValueError: see `check_queries`.
        """
        check_queries(queries, k, self.features.shape[1])
        found = nearest(unit(queries), self.features, k, self.rows.mask(where))
        return [[self.rows.match(*one) for one in zip(rows, scores, strict=True)] for rows, scores in found]


def check_queries(queries: NDArray, k: int, dim: int) -> None:
    """Raises:
    ValueError: the queries are not (Q, dim), a value is not finite, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}: set it to 1 or more")
    check_features(queries, dim)


def check_features(features: NDArray, dim: int) -> None:
    """Raises:
    ValueError: the features are not (N, dim), or a value is not finite.
    """
    if features.ndim != 2 or features.shape[1] != dim:
        raise ValueError(
            f"features have shape {features.shape}, but the references have {dim} numbers each: "
            "use the model that made the references"
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f"features: row {int(np.argmin(finite))} is not finite: extract that image again")
