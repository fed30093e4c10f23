"""References held in memory: rows and features, searched exactly."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.reference_table import Filter, Match, ReferenceTable
from torchreid_rgbir.retrieval.search import nearest, unit


class Searchable(Protocol):
    """What can be asked for the nearest references: those in memory, or a gallery."""

    def __len__(self) -> int: ...

    def search(self, queries: NDArray, k: int = 10, where: Filter = ...) -> list[list[Match]]: ...


@dataclass(frozen=True)
class References:
    """Attributes:
    rows: of N images.
    features: (N, D), of length 1.
    """

    rows: ReferenceTable
    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: NDArray, k: int = 10, where: Filter = Filter()) -> list[list[Match]]:  # noqa: B008
        """The references nearest to each query.

        Args:
            queries: (Q, D), of any length.
            k: how many; fewer where the filter leaves fewer.
            where: which references take part.

        Returns:
            For each query its matches, best first; those that tie in the order of their rows.

        Raises:
            ValueError: `check_queries`'s.
        """
        check_queries(queries, k, self.features.shape[1])
        found = nearest(unit(queries), self.features, k, self.rows.seen(where))
        return [
            [self.rows.match(row, score) for row, score in zip(rows, scores, strict=True)] for rows, scores in found
        ]


def check_queries(queries: NDArray, k: int, dim: int) -> None:
    """Raises:
    ValueError: not (Q, dim), a value that is not finite, k below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1 reference")
    check_features(queries, dim)


def check_features(features: NDArray, dim: int) -> None:
    """Raises:
    ValueError: not (N, dim), or a value that is not finite.
    """
    if features.ndim != 2 or features.shape[1] != dim:
        raise ValueError(
            f"features {features.shape}: the references' have {dim} numbers each; use the model that made them"
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f"features: row {int(np.argmin(finite))} is not finite: extract it again")
