"""A gallery in LanceDB: one table on a disk or object storage. Every change is a versioned commit of the library."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval import lance_access as access
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable, file_keys
from torchreid_rgbir.retrieval.references import References
from torchreid_rgbir.retrieval.search import unit
from torchreid_rgbir.retrieval.store import LANCE_TABLE, GalleryInfo, Store, threshold_as_text

# The library reads these when it is imported. Its warnings concern only its own internals.
os.environ.setdefault("LANCE_LOG", "error")
os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
require("gallery", "lancedb")
import lancedb  # noqa: E402
import pyarrow as pa  # noqa: E402

from torchreid_rgbir.retrieval.lance_index import IndexReader, make_index  # noqa: E402
from torchreid_rgbir.retrieval.lance_schema import COLUMNS, STATE, make_schema, to_arrow, to_matches, to_rows, to_sql  # noqa: E402

EXACT_ROWS = 1_000_000  # up to this size a search compares with every image (2 GB of features at D = 512)
BATCH_ROWS = 8192  # rows read at a time
T = TypeVar("T")


class LanceStore(Store):
    """See `Store`. Up to `EXACT_ROWS` images the features are held in memory from the first search on."""

    def __init__(self, location: str, table: Any):
        self.location = location
        self._table = table
        self._held: References | None = None
        self._reader: IndexReader | None = None
        self._path_of: dict[str, str] = {}  # stored paths by their file keys, in the state `_path_version`
        self._path_version: int | None = None
        self._reload()

    @classmethod
    def open(cls, location: str) -> "LanceStore":
        folder = Path(location) / f"{LANCE_TABLE}.lance"
        # The library makes a folder of that name if there is none.
        if "://" in location or (folder.is_dir() and not _is_unfinished(folder)):
            with access.one_line_errors(location):
                database = lancedb.connect(location)
                if LANCE_TABLE in database.list_tables().tables:
                    return access.repeated(lambda: cls(location, database.open_table(LANCE_TABLE)))
        raise FileNotFoundError(f"{location} is not a gallery: make one with `torchreid-rgbir gallery add`")

    @classmethod
    def create(cls, location: str, about: GalleryInfo) -> "LanceStore":
        folder = None if "://" in location else Path(location)
        _require_free(folder)  # before a lock is written into a folder of a different kind
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with access.only_writer(location), access.one_line_errors(location):
            _require_free(folder)  # a different process may have made it while this one waited
            if folder is not None:
                shutil.rmtree(folder / f"{LANCE_TABLE}.lance", ignore_errors=True)
            database = lancedb.connect(location)
            if LANCE_TABLE in database.list_tables().tables:
                raise _exists(location)
            return cls(location, database.create_table(LANCE_TABLE, schema=make_schema(about)))

    def __len__(self) -> int:
        return self._num_rows

    def add(self, features: NDArray, rows: ReferenceTable, same_files: bool = False) -> None:
        with self._writing():
            if same_files:
                rows = self._with_stored_paths(rows)
            if STATE not in self._table.schema.names:
                self._table.add_columns({STATE: "cast(NULL as string)"})
            merge = self._table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(to_arrow(features, rows, self._table.schema))
            if same_files:
                self._path_version = self._table.version

    def _with_stored_paths(self, rows: ReferenceTable) -> ReferenceTable:
        """Returns the rows, each with the stored path of its file if there is one."""
        if self._path_version != self._table.version:
            stored = self._table.search().select(["path"]).to_arrow().column("path").to_pylist()
            self._path_of = dict(zip(file_keys(stored), stored, strict=True))
        self._path_version = None  # until the rows are stored
        paths = [self._path_of.setdefault(*pair) for pair in zip(file_keys(rows.paths), rows.paths, strict=True)]
        return replace(rows, paths=np.array(paths, object))

    def remove(self, where: Filter) -> int:
        with self._writing():
            return self._table.delete(to_sql(where)).num_deleted_rows

    def rows(self, where: Filter) -> ReferenceTable:
        def read() -> ReferenceTable:
            query = self._table.search().select(self._table.schema.names[1:])
            return to_rows((query.where(to_sql(where)) if where else query).to_arrow())

        return self._read(read)

    def references(self) -> References:
        """Returns the complete gallery in memory."""
        if self._held is None:
            self._held = self._read(self._load)
        return self._held

    def _load(self) -> References:
        features = np.empty((len(self), self.about.dim), np.float32)
        parts, start = [], 0
        for batch in self._table.search().select(["feature", *COLUMNS]).to_batches(BATCH_ROWS):
            stop = start + len(batch)
            features[start:stop] = batch.column("feature").flatten().to_numpy().reshape(len(batch), -1)
            parts.append(batch.select(list(COLUMNS)))
            start = stop
        schema = pa.schema([self._table.schema.field(name) for name in COLUMNS])
        return References(to_rows(pa.Table.from_batches(parts, schema)), features)

    def search(self, queries: NDArray, k: int, where: Filter, exact: bool | None) -> list[list[ReferenceMatch]]:
        if exact is None:
            exact = not self._indexed or len(self) <= EXACT_ROWS
        if exact:
            return self.references().search(queries, k, where)
        if not self._indexed:
            raise ValueError(f"{self.location} has no index: build it with `torchreid-rgbir gallery compact --index`")

        def read() -> list[Any]:
            if self._reader is None:
                self._reader = IndexReader(self.location, LANCE_TABLE, self._table.version)
            return self._reader.search(unit(queries), k, to_sql(where), COLUMNS)

        return [to_matches(table) for table in self._read(read)]

    def set_threshold(self, threshold: float, false_match_rate: float | None) -> None:
        metadata = threshold_as_text(threshold, false_match_rate)
        with self._writing():
            self._table.update_field_metadata({"path": "feature", "metadata": metadata})

    def refresh(self) -> None:
        with access.one_line_errors(self.location):
            self._table.checkout_latest()
            self._reload()

    def compact(self, index: bool, erase: bool) -> int:
        with self._writing(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cleanup_older_than=0")  # readers handle it, see `_read`
            num_duplicates = self._remove_duplicates()
            index = index or (erase and self._indexed)  # the codes in the index describe removed images too
            if index:
                # The indexes go first: moving rows under an index makes the library rebuild it.
                for made in self._table.list_indices():
                    self._table.drop_index(made.name)
            if erase:
                # The library's own compaction skips a file while less than a tenth of its rows are removed.
                self._table.add(self._table.search().to_batches(BATCH_ROWS), mode="overwrite")
            self._table.optimize(
                cleanup_older_than=timedelta(0) if erase else timedelta(hours=1), delete_unverified=erase
            )
            if index:
                make_index(self._table)
        return num_duplicates

    def _remove_duplicates(self) -> int:
        found = self._table.search().select(["path"]).with_row_id(True).to_arrow()
        rows, keys = found.column("_rowid").to_pylist(), file_keys(found.column("path").to_pylist())
        first = dict(zip(reversed(keys), reversed(rows), strict=True))
        duplicates = sorted(set(rows).difference(first.values()))
        for start in range(0, len(duplicates), BATCH_ROWS):
            self._table.delete(f"_rowid IN ({', '.join(map(str, duplicates[start : start + BATCH_ROWS]))})")
        return len(duplicates)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Excludes other writers and makes a change to the latest state."""
        with access.only_writer(self.location), access.one_line_errors(self.location):
            self._table.checkout_latest()
            yield
            self._reload()

    def _read(self, operation: Callable[[], T]) -> T:
        """Reads from the table. If `compact --erase` has deleted the files of the open state, it reads the new state."""
        with access.one_line_errors(self.location):
            for _ in range(access.NUM_RETRIES):
                try:
                    return operation()
                except access.LIBRARY_ERRORS:
                    version = self._table.version
                    self._table.checkout_latest()
                    if self._table.version == version:
                        raise
                    self._reload()
            return operation()

    def _reload(self) -> None:
        """Reads the state of the table again after a change."""
        self._held = None
        self._reader = None
        self._num_rows: int = self._table.count_rows()
        self._indexed = any(index.columns == ["feature"] for index in self._table.list_indices())
        metadata = {key.decode(): value.decode() for key, value in (self._table.schema.field(0).metadata or {}).items()}
        try:
            self.about = GalleryInfo.from_text(metadata)
        except KeyError as error:
            raise access.ForeignTable(
                f"{self.location} is not a gallery of this package ({error} is missing): make one with gallery add"
            ) from None


def _is_unfinished(folder: Path) -> bool:
    """Whether a process ended while it made this table, before its first commit."""
    return folder.is_dir() and not any(folder.glob("_versions/*.manifest")) and not any(folder.glob("data/*"))


def _require_free(folder: Path | None) -> None:
    """Fails unless the folder is missing or empty, except for an unfinished table and locks."""
    if folder is None or not folder.exists():
        return
    table = folder / f"{LANCE_TABLE}.lance"
    unfinished = {access.LOCK, access.NEXT} | ({table.name} if _is_unfinished(table) else set())
    if not folder.is_dir() or any(entry.name not in unfinished for entry in folder.iterdir()):
        raise _exists(folder)


def _exists(location: str | Path) -> FileExistsError:
    return FileExistsError(f"{location} already exists: choose a different location, or add to it")
