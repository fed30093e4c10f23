"""What is known of reference images besides their features: path, category, camera, time and free JSON, column by column."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEW = 8  # values to look for, up to which a comparison with each is faster than NumPy's search among all


@dataclass(frozen=True)
class ReferenceTable:
    """One row an image; made by `ReferenceTable.of`.

    Attributes:
        paths: (N,) text; names the row, so no two are the same.
        categories: (N,) text: a person, a vehicle, a kind of thing.
        cameras: (N,) integers, 0 = unknown.
        times: (N,) datetime64[us] in UTC, NaT = unknown.
        extras: (N,) JSON objects, as text.
    """

    paths: NDArray
    categories: NDArray
    cameras: NDArray[np.int64]
    times: NDArray[np.datetime64]
    extras: NDArray

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        categories: Sequence[str],
        cameras: Sequence[int] | None = None,
        times: Sequence[datetime | None] | None = None,
        extras: Sequence[dict[str, Any]] | None = None,
    ) -> "ReferenceTable":
        """From plain Python values; a column that is left out is unknown, or empty, in every row.

        Raises:
            ValueError: columns of different lengths, a path given twice, a time without a time zone, no JSON.
        """
        num = len(paths)
        columns: dict[str, Any] = {
            "categories": categories,
            "cameras": [0] * num if cameras is None else cameras,
            "times": [None] * num if times is None else times,
            "extras": [{}] * num if extras is None else extras,
        }
        for name, column in columns.items():
            if len(column) != num:
                raise ValueError(f"{name}: {len(column)} entries for {num} paths: give one for each")
        seen: set[str] = set()
        for path in paths:
            if path in seen:
                raise ValueError(f"path {path} is given twice: a path names one row")
            seen.add(path)
        try:
            texts = [json.dumps(extra, allow_nan=False) for extra in columns["extras"]]
        except (TypeError, ValueError) as error:
            raise ValueError(f"extras: {error}: give what JSON can hold") from None
        return cls(
            np.array(list(map(str, paths)), object),
            np.array(list(map(str, categories)), object),
            np.array(columns["cameras"], np.int64),
            np.array([to_utc(time) for time in columns["times"]], "datetime64[us]"),
            np.array(texts, object),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: NDArray | slice) -> "ReferenceTable":
        """Those rows (indices, a mask or a slice), in that order."""
        return ReferenceTable(*(getattr(self, field.name)[rows] for field in fields(self)))

    def match(self, row: int, score: float) -> "Match":
        """A row as a search's answer."""
        time = self.times[row].item()
        return Match(
            str(self.paths[row]),
            str(self.categories[row]),
            float(score),
            int(self.cameras[row]),
            time and time.replace(tzinfo=timezone.utc),
            json.loads(self.extras[row]),
        )

    def seen(self, where: "Filter") -> NDArray[np.bool_] | None:
        """(N,) which rows the filter lets through; None: all."""
        masks = []
        if where.categories:
            known = [self._numbers[name] for name in where.categories if name in self._numbers]
            masks.append(_among(self._category_numbers, known))
        if where.cameras:
            masks.append(_among(self.cameras, where.cameras))
        if where.since is not None:
            masks.append(self.times >= to_utc(where.since))  # false for NaT
        if where.until is not None:
            masks.append(self.times <= to_utc(where.until))
        if where.paths:
            chosen = set(where.paths)
            masks.append(np.array([path in chosen for path in self.paths], bool))
        return np.logical_and.reduce(masks) if masks else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(dict.fromkeys(self.categories))}

    @cached_property
    def _category_numbers(self) -> NDArray[np.int64]:
        # Comparing numbers is some hundred times faster than comparing text.
        numbers = self._numbers
        return np.fromiter((numbers[name] for name in self.categories), np.int64, len(self))


class Match(NamedTuple):
    """A reference image that a search found.

    Attributes:
        path, category, camera, time, extra: of the image, as they were given.
        score: cosine of its feature and the query's, in [-1, 1].
    """

    path: str
    category: str
    score: float
    camera: int
    time: datetime | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which references a search sees; what is left out, or empty, excludes nothing. A filter applies before the ranking.

    Attributes:
        categories, cameras, paths: one of these.
        since, until: taken in this time, both ends included; references of unknown time are then left out.
    """

    categories: Sequence[str] = ()
    cameras: Sequence[int] = ()
    since: datetime | None = None
    until: datetime | None = None
    paths: Sequence[str] = ()

    def __bool__(self) -> bool:
        return any((self.categories, self.cameras, self.since, self.until, self.paths))


def _among(values: NDArray[np.int64], wanted: Sequence[int]) -> NDArray[np.bool_]:
    if not 0 < len(wanted) <= FEW:
        return np.isin(values, wanted)
    return np.logical_or.reduce([values == one for one in wanted])


def to_utc(time: datetime | None) -> np.datetime64:
    """NaT for None.

    Raises:
        ValueError: a time without a time zone.
    """
    if time is None:
        return np.datetime64("NaT", "us")
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone: write {time.isoformat()}+00:00 for UTC")
    return np.datetime64(time.astimezone(timezone.utc).replace(tzinfo=None), "us")
