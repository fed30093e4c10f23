"""The interface of a store that keeps a gallery on disk or on a server. `Gallery` is what users call."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from numpy.typing import NDArray

from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable

LANCE_TABLE = "references"  # name of the table in a LanceDB gallery


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery records about itself.

    Attributes:
        fingerprint: identifies the extractor that made the features.
        dim: D, numbers per feature.
        modality: "rgb" or "ir", the modality of all images.
        threshold: calibrated score below which an image is unknown, or None.
    """

    fingerprint: str
    dim: int
    modality: str
    threshold: float | None = None

    def as_text(self) -> dict[str, str]:
        """Returns the values as stores keep them. A value of None is omitted."""
        return {key: str(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_text(cls, kept: Mapping[str, str]) -> "GalleryInfo":
        """Reads the values from a store's metadata, which may hold other entries too.

        Raises:
            KeyError: the store was not made by this package.
        """
        threshold = float(kept["threshold"]) if "threshold" in kept else None
        return cls(kept["fingerprint"], int(kept["dim"]), kept["modality"], threshold)


class Store(ABC):
    """Keeps the references of one gallery. The methods do what those of the same name in `Gallery` say.

    Every method turns the library's errors into one line with the location. `Gallery` has checked the arguments and scaled
    the features of `add` to length 1. Queries have any length.

    Attributes:
        location: folder or address of the gallery.
        about: see `GalleryInfo`.
        max_bytes: largest size of a path or a category, None = unlimited.
    """

    location: str
    about: GalleryInfo
    max_bytes: int | None = None

    @classmethod
    @abstractmethod
    def open(cls, location: str) -> "Store": ...

    @classmethod
    @abstractmethod
    def create(cls, location: str, about: GalleryInfo) -> "Store": ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def add(self, features: NDArray, rows: ReferenceTable, same_files: bool = False) -> None: ...

    @abstractmethod
    def remove(self, where: Filter) -> int: ...

    @abstractmethod
    def rows(self, where: Filter) -> ReferenceTable: ...

    @abstractmethod
    def search(self, queries: NDArray, k: int, where: Filter, exact: bool | None) -> list[list[ReferenceMatch]]: ...

    @abstractmethod
    def set_threshold(self, threshold: float) -> None: ...

    @abstractmethod
    def refresh(self) -> None: ...

    @abstractmethod
    def compact(self, index: bool, erase: bool) -> int: ...
