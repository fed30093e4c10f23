"""A gallery keeps references permanently: in LanceDB on a disk or object storage, or on a Milvus server."""

import os
from pathlib import Path

from numpy.typing import NDArray

from torchreid_rgbir.modality import modality_of
from torchreid_rgbir.retrieval.reference_table import EVERYTHING, Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.references import check_features, check_queries
from torchreid_rgbir.retrieval.search import unit
from torchreid_rgbir.retrieval.store import LANCE_TABLE, GalleryInfo, Store


class Gallery:
    """References of one modality and one model. Use `Gallery.create` or `Gallery.open` to get one.

    An open gallery shows the state in which it was opened. `refresh`, and each change of its own, also shows the changes
    of other processes. Each `add` and each `remove` is one commit: it is complete when the call returns, and invisible
    before. One process at a time writes to a gallery in a folder. The others wait for it, up to a minute.

    Attributes:
        store: the LanceDB table or Milvus collection that holds the references.
    """

    def __init__(self, store: Store):
        self.store = store

    @classmethod
    def open(cls, location: str | Path) -> "Gallery":
        """Opens a gallery.

        Args:
            location: a folder, an object storage address (s3://...), or a Milvus server (http://host:19530, or
                http://host:19530/NAME if it holds several galleries).

        Raises:
            FileNotFoundError: there is no gallery.
            ValueError: the gallery is damaged, or the package of its store is not installed.
            ConnectionError: the server does not answer.
        """
        return cls(_store_class(location).open(os.path.expanduser(location)))

    @classmethod
    def create(cls, location: str | Path, fingerprint: str, dim: int, modality: str) -> "Gallery":
        """Makes an empty gallery.

        Args:
            location: as in `open`.
            fingerprint: of the extractor (`Extractor.fingerprint`).
            dim: D, numbers per feature.
            modality: "rgb" or "ir", of the images to be added.

        Raises:
            FileExistsError: the location is already in use.
            ValueError: the modality is unknown, or the package of the store is not installed.
            ConnectionError: the server does not answer.
        """
        modality_of(modality)  # fails if it is unknown
        about = GalleryInfo(fingerprint, dim, modality)
        return cls(_store_class(location).create(os.path.expanduser(location), about))

    @property
    def location(self) -> str:
        """The folder or address."""
        return self.store.location

    @property
    def about(self) -> GalleryInfo:
        """What the gallery records about itself."""
        return self.store.about

    def __len__(self) -> int:
        return len(self.store)

    def check(self, fingerprint: str, modality: str | None = None) -> None:
        """Checks that features of a model can be compared with those of the gallery.

        Raises:
            ValueError: the gallery belongs to a different model or modality.
        """
        if fingerprint != self.about.fingerprint:
            raise ValueError(
                f"{self.location} holds features of a different model (fingerprint {self.about.fingerprint[:8]}, yours is "
                f"{fingerprint[:8]}): use the checkpoint that made the gallery, or make a new gallery with yours"
            )
        if modality is not None and modality != self.about.modality:
            hint = "make a second gallery" if len(self) else "delete this empty one, or make a second gallery"
            raise ValueError(f"{self.location} is a gallery of {self.about.modality} images, not {modality}: {hint}")

    def add(self, features: NDArray, rows: ReferenceTable, same_files: bool = False) -> None:
        """Adds images in one commit. An image replaces the image of the same path.

        Args:
            features: (N, D), of any length. They are stored with length 1.
            rows: the table of the N images. No two of their paths lead to one file if `same_files` is set.
            same_files: an image also replaces an image whose path leads to the same file, and takes this path. It is
                looked up in the latest state of the gallery. Galleries on a server ignore it.

        Raises:
            ValueError: the features do not match the gallery or the table, or a name cannot be stored.
            OSError: a different process has been writing for more than a minute.
        """
        check_features(features, self.about.dim)
        self.check_names(rows)
        if len(features) != len(rows):
            raise ValueError(f"there are {len(features)} features for {len(rows)} rows: give one for each row")
        if len(rows):
            self.store.add(unit(features), rows, same_files)

    def check_names(self, rows: ReferenceTable) -> None:
        """Checks that the store can hold the paths and categories of a table.

        Raises:
            ValueError: a name is not UTF-8, or longer than the store allows.
        """
        for path, category in zip(rows.paths, rows.categories, strict=True):
            for name, text in (("path", path), ("category", category)):
                try:
                    size = len(text.encode())
                except UnicodeEncodeError:
                    raise ValueError(f"{path!r} has a {name} that is not UTF-8: rename the file or folder") from None
                if self.store.max_bytes is not None and size > self.store.max_bytes:
                    raise ValueError(
                        f"{path[-80:]} has a {name} of {size} bytes, but {self.location} holds at most "
                        f"{self.store.max_bytes}: shorten it"
                    )

    def remove(self, where: Filter) -> int:
        """Removes the images that the filter selects, in one commit.

        Returns:
            The number of removed images.

        Raises:
            ValueError: the filter is empty and would remove everything.
        """
        if not where:
            raise ValueError("nothing says which images to remove: give a path or a filter")
        return self.store.remove(where)

    def rows(self, where: Filter = EVERYTHING) -> ReferenceTable:
        """Returns the table of the images that the filter selects."""
        return self.store.rows(where)

    def search(
        self, queries: NDArray, k: int = 10, where: Filter = EVERYTHING, exact: bool | None = None
    ) -> list[list[ReferenceMatch]]:
        """Returns the images nearest to each query.

        Args:
            queries: (Q, D), of any length.
            k: largest number of matches. There are fewer if the filter selects fewer images.
            where: selects the images that take part.
            exact: True compares with every image. False uses the index, which may miss some. None chooses by size.

        Returns:
            For each query its matches, best first.

        Raises:
            ValueError: the queries do not match the gallery, or the gallery cannot be searched this way.
        """
        check_queries(queries, k, self.about.dim)
        return self.store.search(queries, k, where, exact)

    def set_threshold(self, threshold: float, false_match_rate: float | None = None) -> None:
        """Stores a calibrated threshold in `about`, and the share of unknown people that reached it."""
        self.store.set_threshold(threshold, false_match_rate)

    def refresh(self) -> None:
        """Shows what other processes have changed."""
        self.store.refresh()

    def compact(self, index: bool = False, erase: bool = False) -> int:
        """Merges the files of many small commits and removes duplicates, which earlier versions could store.

        Args:
            index: build the search index too.
            erase: delete removed images from the disk immediately. Otherwise they are deleted an hour later. A process
                that still reads the old state then continues with the new one.

        Returns:
            The number of removed duplicates: paths that lead to the file of an earlier row.
        """
        return self.store.compact(index, erase)


def is_gallery(location: str | Path) -> bool:
    """Whether a location is a gallery and not a folder of images. The address of a server always is."""
    return "://" in str(location) or Path(location, f"{LANCE_TABLE}.lance").expanduser().is_dir()


def _store_class(location: str | Path) -> type[Store]:
    # The package of each store is an extra, so it is imported only when it is needed.
    if str(location).startswith(("http://", "https://")):
        from torchreid_rgbir.retrieval.milvus import MilvusStore

        return MilvusStore
    from torchreid_rgbir.retrieval.lance import LanceStore

    return LanceStore
