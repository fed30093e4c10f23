"""A gallery: references that last. One interface over two stores: LanceDB on a disk or object storage, a Milvus cluster beyond one machine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from numpy.typing import NDArray

from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.retrieval.reference_table import Filter, Match, ReferenceTable
from torchreid_rgbir.retrieval.references import check_features
from torchreid_rgbir.retrieval.search import unit

LANCE_TABLE = "references"


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery knows of itself.

    Attributes:
        fingerprint: of the extractor that made its features.
        dim: D, numbers in a feature.
        modality: "rgb" or "ir", of all its images.
        threshold: calibrated score below which an image is unknown, or None.
    """

    fingerprint: str
    dim: int
    modality: str
    threshold: float | None = None

    def as_text(self) -> dict[str, str]:
        """As stores keep it; what is None is left out."""
        return {key: str(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_text(cls, kept: Mapping[str, str]) -> "GalleryInfo":
        """From what a store kept, among other things.

        Raises:
            KeyError: a store that nobody here has made.
        """
        threshold = float(kept["threshold"]) if "threshold" in kept else None
        return cls(kept["fingerprint"], int(kept["dim"]), kept["modality"], threshold)


class Gallery(ABC):
    """References of one modality and one model, kept in a store; made by `Gallery.create`, found by `Gallery.open`.

    A gallery that is open shows the state it was opened in, and its own changes; `refresh` shows those of others. Each `add`
    and each `remove` is in the store, whole, when the call returns, and not at all before.

    Attributes:
        where: the folder or address.
        about: see `GalleryInfo`.
    """

    where: str
    about: GalleryInfo

    @staticmethod
    def open(where: str | Path) -> "Gallery":
        """Opens a gallery.

        Args:
            where: a folder, an object storage address (s3://...), or a Milvus server (http://host:19530, or http://host:19530/NAME
                where it holds several galleries).

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, or the package of its store is missing.
            ConnectionError: the server does not answer.
        """
        return _store(where).open_at(str(where))

    @staticmethod
    def create(where: str | Path, fingerprint: str, dim: int, modality: str) -> "Gallery":
        """Makes an empty gallery.

        Args:
            where: as in `open`.
            fingerprint: of the extractor (`Extractor.fingerprint`).
            dim: D, numbers in a feature.
            modality: "rgb" or "ir", of the images to come.

        Raises:
            FileExistsError: something is there already.
            ValueError: an unknown modality, or the package of the store is missing.
            ConnectionError: the server does not answer.
        """
        if modality not in NAMES:
            raise ValueError(f"modality {modality!r} is unknown: choose one of {', '.join(NAMES)}")
        return _store(where).create_at(str(where), GalleryInfo(fingerprint, dim, modality))

    def check(self, fingerprint: str, modality: str | None = None) -> None:
        """Before features of a model meet those of the gallery.

        Raises:
            ValueError: the gallery is of another model or modality.
        """
        if fingerprint != self.about.fingerprint:
            raise ValueError(
                f"{self.where} holds features of another model (fingerprint {self.about.fingerprint[:8]}, this one is "
                f"{fingerprint[:8]}): use the checkpoint that made it, or make a gallery of this one"
            )
        if modality is not None and modality != self.about.modality:
            removed = "" if len(self) else "remove it, it is empty, or "
            raise ValueError(
                f"{self.where} is a gallery of {self.about.modality} images, not {modality}: {removed}make a second one"
            )

    def add(self, features: NDArray, rows: ReferenceTable) -> None:
        """Adds images in one commit; one whose path is in the gallery already takes that one's place.

        Args:
            features: (N, D), of any length; kept at length 1.
            rows: their N rows.

        Raises:
            ValueError: features that do not fit.
        """
        check_features(features, self.about.dim)
        if len(features) != len(rows):
            raise ValueError(f"features: {len(features)} for {len(rows)} rows: give one for each")
        if len(rows):
            self._add(unit(features), rows)

    def remove(self, where: Filter) -> int:
        """Removes the images that the filter lets through, in one commit.

        Returns:
            How many there were.

        Raises:
            ValueError: a filter that excludes nothing, which would remove everything.
        """
        if not where:
            raise ValueError("nothing says which images to remove: give a path or a filter")
        return self._remove(where)

    @classmethod
    @abstractmethod
    def open_at(cls, where: str) -> "Gallery": ...

    @classmethod
    @abstractmethod
    def create_at(cls, where: str, about: GalleryInfo) -> "Gallery": ...

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def _add(self, features: NDArray, rows: ReferenceTable) -> None: ...

    @abstractmethod
    def _remove(self, where: Filter) -> int: ...

    @abstractmethod
    def rows(self, where: Filter = Filter()) -> ReferenceTable:  # noqa: B008
        """The rows that the filter lets through."""

    @abstractmethod
    def search(
        self,
        queries: NDArray,
        k: int = 10,
        where: Filter = Filter(),  # noqa: B008
        exact: bool | None = None,
    ) -> list[list[Match]]:
        """The images nearest to each query.

        Args:
            queries: (Q, D), of any length.
            k: how many; fewer where the filter leaves fewer.
            where: which images take part.
            exact: compare with every image, or ask the index, which may miss some; None: whichever suits the size.

        Returns:
            For each query its matches, best first.

        Raises:
            ValueError: queries that do not fit, or a way to search that the gallery does not have.
        """

    @abstractmethod
    def set_threshold(self, threshold: float) -> None:
        """Keeps a calibrated threshold in `about`."""

    @abstractmethod
    def refresh(self) -> None:
        """Shows what others have changed since."""

    @abstractmethod
    def compact(self, index: bool = False, erase: bool = False) -> None:
        """Gathers what many small commits left.

        Args:
            index: make the search index as well.
            erase: take removed images off the disk at once; else an hour later, since whoever opened the gallery before may
                still be reading them.
        """


def is_gallery(where: str | Path) -> bool:
    """Whether this names a gallery, rather than a folder of images; a server's address always does."""
    return "://" in str(where) or (Path(where) / f"{LANCE_TABLE}.lance").is_dir()


def _store(where: str | Path) -> type[Gallery]:
    # Each store's package is an extra, asked for only where it is used.
    if str(where).startswith(("http://", "https://")):
        from torchreid_rgbir.retrieval.milvus import MilvusGallery

        return MilvusGallery
    from torchreid_rgbir.retrieval.lance import LanceGallery

    return LanceGallery
