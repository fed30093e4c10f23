"""A table of reference images: path, category, camera, time and free JSON, stored column by column."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.files.paths import normalize_name, same_file_key
from torchreid_rgbir.files.times import checked

FEW = 8  # up to this many values, comparing with each is faster than np.isin


class ReferenceMatch(NamedTuple):
    """A reference image that a search found, with its columns in the `ReferenceTable`."""

    path: str
    category: str
    score: float  # cosine of the image's feature and the query's feature, in [-1, 1]
    camera: int
    time: datetime | None
    extra: dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Selects reference images before they are ranked. An empty condition excludes nothing.

    Attributes:
        categories, cameras, paths: the image has one of these values. The Unicode form of a category does not matter.
        since, until: the image was taken in this period, both ends included. Images of unknown time are then excluded.
    """

    categories: Sequence[str] = ()
    cameras: Sequence[int] = ()
    since: datetime | None = None
    until: datetime | None = None
    paths: Sequence[str] = ()

    def __post_init__(self) -> None:
        # Tables hold composed names (NFC); a gallery of an earlier version may hold the form in which a name was typed.
        forms = (form for name in self.categories for form in (normalize_name(name), normalize("NFD", name), name))
        object.__setattr__(self, "categories", tuple(dict.fromkeys(forms)))

    def __bool__(self) -> bool:
        return any((self.categories, self.cameras, self.since, self.until, self.paths))


EVERYTHING = Filter()


@dataclass(frozen=True)
class ReferenceTable:
    """One row per image. Use `ReferenceTable.of` to make one.

    Attributes:
        paths: (N,) text. A path identifies its row, so no two rows have the same path.
        categories: (N,) text in Unicode's composed form (NFC): a person, a vehicle, a kind of object.
        cameras: (N,) integers, 0 = unknown.
        times: (N,) datetime64[us] in UTC, NaT = unknown.
        extras: (N,) JSON objects as text.
        states: (N,) text that identifies the content of each file when its features were extracted, "" = unknown.
    """

    paths: NDArray
    categories: NDArray
    cameras: NDArray[np.int64]
    times: NDArray[np.datetime64]
    extras: NDArray
    states: NDArray

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        categories: Sequence[str],
        cameras: Sequence[int] | None = None,
        times: Sequence[datetime | None] | None = None,
        extras: Sequence[dict[str, Any]] | None = None,
        states: Sequence[str] | None = None,
    ) -> "ReferenceTable":
        """Makes a table from plain Python values. A column that is not given is unknown or empty in every row.

        Raises:
            ValueError: columns differ in length, a path occurs twice, a camera is not a 64-bit integer, a time has no time
                zone, or an extra is not JSON.
        """
        num = len(paths)
        columns: dict[str, Any] = {
            "categories": categories,
            "cameras": [0] * num if cameras is None else cameras,
            "times": [None] * num if times is None else times,
            "extras": [{}] * num if extras is None else extras,
            "states": [""] * num if states is None else states,
        }
        for name, column in columns.items():
            if len(column) != num:
                raise ValueError(f"{name} has {len(column)} entries for {num} paths: give one for each path")
        for path, count in Counter(paths).items():
            if count > 1:
                raise ValueError(f"path {path} is given twice: list each path once")
        try:
            texts = [json.dumps(extra, allow_nan=False) for extra in columns["extras"]]
        except (TypeError, ValueError) as error:
            raise ValueError(f"extras cannot be written as JSON ({error}): use only JSON values") from None
        try:
            numbers = np.array(columns["cameras"], np.int64)
        except (OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"cameras are not 64-bit integers ({error}): number them from 1") from None
        return cls(
            np.array(list(map(str, paths)), object),
            np.array([normalize_name(str(category)) for category in categories], object),
            numbers,
            np.array([to_utc(time) for time in columns["times"]], "datetime64[us]"),
            np.array(texts, object),
            np.array(columns["states"], object),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: NDArray | slice) -> "ReferenceTable":
        """Returns the given rows (indices, a mask or a slice) in that order."""
        return ReferenceTable(*(getattr(self, field.name)[rows] for field in fields(self)))

    def match(self, row: int, score: float) -> ReferenceMatch:
        """Returns one row as the result of a search."""
        time = self.times[row].item()
        return ReferenceMatch(
            str(self.paths[row]),
            str(self.categories[row]),
            float(score),
            int(self.cameras[row]),
            time and time.replace(tzinfo=timezone.utc),
            json.loads(self.extras[row]),
        )

    def mask(self, where: Filter) -> NDArray[np.bool_] | None:
        """(N,) the rows that the filter selects, or None if it selects all of them."""
        masks = []
        if where.categories:
            known = [self._number_of[name] for name in where.categories if name in self._number_of]
            masks.append(_is_in(self._category_numbers, known))
        if where.cameras:
            masks.append(_is_in(self.cameras, where.cameras))
        if where.since is not None:
            masks.append(self.times >= to_utc(where.since))  # false for NaT
        if where.until is not None:
            masks.append(self.times <= to_utc(where.until))
        if where.paths:
            chosen = set(where.paths)
            masks.append(np.array([path in chosen for path in self.paths], bool))
        return np.logical_and.reduce(masks) if masks else None

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(dict.fromkeys(self.categories))}

    @cached_property
    def _category_numbers(self) -> NDArray[np.int64]:
        # Comparing numbers is some hundred times faster than comparing text.
        number_of = self._number_of
        return np.fromiter((number_of[name] for name in self.categories), np.int64, len(self))


def _is_in(values: NDArray[np.int64], wanted: Sequence[int]) -> NDArray[np.bool_]:
    if not 0 < len(wanted) <= FEW:
        return np.isin(values, wanted)
    return np.logical_or.reduce([values == one for one in wanted])


def file_keys(paths: Iterable[str]) -> list[str]:
    """Returns for each absolute path a key that is equal for all paths that lead to one file (see `same_file_key`).

    Each folder is resolved once, so that the keys of a million files take seconds. A name that is not an absolute path was
    given by a program and is its own key.
    """
    folders: dict[str, str] = {}
    keys = []
    for path in paths:
        if os.path.isabs(path) and not os.path.islink(path):
            folder, name = os.path.split(path)
            if folder not in folders:
                folders[folder] = same_file_key(folder)
            keys.append(os.path.join(folders[folder], normalize_name(name)))
        else:
            keys.append(same_file_key(path) if os.path.isabs(path) else path)
    return keys


def to_utc(time: datetime | None) -> np.datetime64:
    """Converts a time to UTC. None becomes NaT.

    Raises:
        ValueError: the time has no time zone.
    """
    if time is None:
        return np.datetime64("NaT", "us")
    return np.datetime64(checked(time).astimezone(timezone.utc).replace(tzinfo=None), "us")
