"""The interface of a store that keeps a gallery on disk or on a server. `Gallery` is what users call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable, to_utc

LANCE_TABLE = "references"  # name of the table in a LanceDB gallery


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery records about itself."""

    fingerprint: str  # identifies the extractor that made the features
    dim: int  # D, numbers per feature
    modality: str  # "rgb" or "ir", the modality of all images
    threshold: float | None = None  # calibrated score below which an image is unknown
    false_match_rate: float | None = None  # share of unknown people that reached the threshold when it was calibrated

    def as_text(self) -> dict[str, str]:
        """Returns the values as stores keep them. A value of None is omitted."""
        return {key: str(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_text(cls, kept: Mapping[str, str]) -> "GalleryInfo":
        """Reads the values from a store's metadata, which may hold other entries too.

        Raises:
            KeyError: the store was not made by this package.
        """
        # Galleries of version 0.1 have no rate. An empty text replaces the rate of an earlier threshold.
        threshold, rate = (float(kept[key]) if kept.get(key) else None for key in ("threshold", "false_match_rate"))
        return cls(kept["fingerprint"], int(kept["dim"]), kept["modality"], threshold, rate)


def threshold_as_text(threshold: float, false_match_rate: float | None) -> dict[str, str]:
    """Returns a calibration as stores keep it. An unknown rate is an empty text, which replaces an earlier rate."""
    rate = "" if false_match_rate is None else repr(float(false_match_rate))
    return {"threshold": repr(float(threshold)), "false_match_rate": rate}


def condition(where: Filter, listed: Callable[[Sequence], str], moment: Callable[[np.datetime64], str]) -> str:
    """Writes a filter as a condition on columns, or as an empty text if it excludes nothing.

    `listed` writes texts or numbers as a list, and `moment` writes a time in UTC. The rest is the same in all stores.
    """
    columns = (("category", where.categories), ("camera", where.cameras), ("path", where.paths))
    periods = ((">=", where.since), ("<=", where.until))
    conditions = [f"{column} in {listed(values)}" for column, values in columns if values]
    conditions += [f"time {sign} {moment(to_utc(time))}" for sign, time in periods if time is not None]
    return " and ".join(conditions)


class Store(Protocol):
    """Keeps the references of one gallery. The methods do what those of the same name in `Gallery` say.

    Every method turns the library's errors into one line with the location. `Gallery` has checked the arguments and scaled
    the features of `add` to length 1. Queries have any length.
    """

    location: str  # folder or address of the gallery
    about: GalleryInfo
    max_bytes: int | None = None  # largest size of a path or a category, None = unlimited

    @classmethod
    def open(cls, location: str) -> "Store": ...
    @classmethod
    def create(cls, location: str, about: GalleryInfo) -> "Store": ...
    def __len__(self) -> int: ...
    def add(self, features: NDArray, rows: ReferenceTable, same_files: bool = False) -> None: ...
    def remove(self, where: Filter) -> int: ...
    def rows(self, where: Filter) -> ReferenceTable: ...
    def search(self, queries: NDArray, k: int, where: Filter, exact: bool | None) -> list[list[ReferenceMatch]]: ...
    def set_threshold(self, threshold: float, false_match_rate: float | None) -> None: ...
    def refresh(self) -> None: ...
    def compact(self, index: bool, erase: bool) -> int: ...
