"""A gallery in LanceDB: one table on a disk or object storage. Every change is a versioned commit of the library."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable, to_utc
from torchreid_rgbir.retrieval.references import References
from torchreid_rgbir.retrieval.search import unit
from torchreid_rgbir.retrieval.store import LANCE_TABLE, GalleryInfo, Store

# The library reads these when it is imported. Its warnings concern only its own internals.
os.environ.setdefault("LANCE_LOG", "error")
os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
require("gallery", "lancedb")
import lancedb  # noqa: E402
import pyarrow as pa  # noqa: E402

from torchreid_rgbir.retrieval.lance_index import IndexReader, make_index  # noqa: E402

EXACT_ROWS = 1_000_000  # up to this size a search compares with every image (2 GB of features at D = 512)
BATCH_ROWS = 8192  # rows read at a time
COLUMNS = ("path", "category", "camera", "time", "extra")
EMPTY_JSON = "{}"


class LanceStore(Store):
    """See `Store`. Up to `EXACT_ROWS` images the features are held in memory from the first search on."""

    def __init__(self, location: str, table: Any):
        self.location = location
        self._table = table
        self._held: References | None = None
        self._reader: IndexReader | None = None
        self._reload()

    @classmethod
    def open(cls, location: str) -> "LanceStore":
        missing = FileNotFoundError(f"{location} is not a gallery: make one with `torchreid-rgbir gallery add`")
        folder = Path(location) / f"{LANCE_TABLE}.lance"
        if "://" not in location and (not folder.is_dir() or _is_unfinished(folder)):
            raise missing  # otherwise the library makes a folder of that name
        with _one_line_errors(location):
            database = lancedb.connect(location)
            if LANCE_TABLE in database.list_tables().tables:
                return cls(location, database.open_table(LANCE_TABLE))
        raise missing

    @classmethod
    def create(cls, location: str, about: GalleryInfo) -> "LanceStore":
        schema = pa.schema(
            [
                pa.field("feature", pa.list_(pa.float32(), about.dim), metadata=about.as_text()),
                ("path", pa.string()),
                ("category", pa.string()),
                ("camera", pa.int64()),
                ("time", pa.timestamp("us")),
                ("extra", pa.string()),
            ]
        )
        exists = FileExistsError(f"{location} already exists: choose a different location, or add to it")
        if "://" not in location and Path(location).exists():
            folder = Path(location) / f"{LANCE_TABLE}.lance"
            if _is_unfinished(folder):
                shutil.rmtree(folder)
            if not Path(location).is_dir() or any(Path(location).iterdir()):
                raise exists
        with _one_line_errors(location):
            database = lancedb.connect(location)
            if LANCE_TABLE not in database.list_tables().tables:
                return cls(location, database.create_table(LANCE_TABLE, schema=schema))
        raise exists

    def __len__(self) -> int:
        return self._num_rows

    def add(self, features: NDArray, rows: ReferenceTable) -> None:
        table = pa.table(
            {
                "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), self.about.dim),
                "path": rows.paths,
                "category": rows.categories,
                "camera": rows.cameras,
                "time": rows.times,
                # An empty object is stored as null: thousands of equal texts are stored as a run, which is slower to read.
                "extra": pa.array(rows.extras, pa.string(), mask=rows.extras == EMPTY_JSON),
            },
            schema=self._table.schema,
        )
        with _one_line_errors(self.location):
            merge = self._table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(table)
            self._reload()

    def remove(self, where: Filter) -> int:
        with _one_line_errors(self.location):
            removed = self._table.delete(_sql(where)).num_deleted_rows
            self._reload()
        return removed

    def rows(self, where: Filter) -> ReferenceTable:
        with _one_line_errors(self.location):
            query = self._table.search().select(list(COLUMNS))
            if where:
                query = query.where(_sql(where))
            return _rows(query.to_arrow())

    def references(self) -> References:
        """Returns the complete gallery in memory."""
        if self._held is None:
            with _one_line_errors(self.location):
                features = np.empty((len(self), self.about.dim), np.float32)
                parts, start = [], 0
                for batch in self._table.search().to_batches(BATCH_ROWS):
                    part = batch.column("feature").flatten().to_numpy()
                    features[start : start + len(batch)] = part.reshape(len(batch), -1)
                    parts.append(batch.select(list(COLUMNS)))
                    start += len(batch)
                rows = _rows(pa.Table.from_batches(parts, self._table.schema.remove(0)))
            self._held = References(rows, features)
        return self._held

    def search(self, queries: NDArray, k: int, where: Filter, exact: bool | None) -> list[list[ReferenceMatch]]:
        if exact is None:
            exact = not self._indexed or len(self) <= EXACT_ROWS
        if exact:
            return self.references().search(queries, k, where)
        if not self._indexed:
            raise ValueError(f"{self.location} has no index: build it with `torchreid-rgbir gallery compact --index`")
        with _one_line_errors(self.location):
            if self._reader is None:
                self._reader = IndexReader(self.location, LANCE_TABLE, self._table.version)
            found = self._reader.search(unit(queries), k, _sql(where), COLUMNS)
        return [_matches(table) for table in found]

    def set_threshold(self, threshold: float) -> None:
        with _one_line_errors(self.location):
            self._table.update_field_metadata({"path": "feature", "metadata": {"threshold": repr(float(threshold))}})
            self._reload()

    def refresh(self) -> None:
        with _one_line_errors(self.location):
            self._table.checkout_latest()
            self._reload()

    def compact(self, index: bool, erase: bool) -> None:
        with _one_line_errors(self.location), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cleanup_older_than=0")  # the docstring warns of the same
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
            self._reload()

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
            raise _ForeignTable(
                f"{self.location} is not a gallery of this package ({error} is missing): make one with gallery add"
            ) from None


def _matches(found: Any) -> list[ReferenceMatch]:
    rows, distances = _rows(found), found.column("_distance").to_numpy()
    return [rows.match(row, 1 - distance) for row, distance in enumerate(distances)]


def _is_unfinished(folder: Path) -> bool:
    """Whether a process ended while it made this table, before its first commit."""
    return folder.is_dir() and not any(folder.glob("_versions/*.manifest")) and not any(folder.glob("data/*"))


class _ForeignTable(ValueError):
    """A table that a different program made."""


@contextmanager
def _one_line_errors(location: str) -> Iterator[None]:
    """Turns the library's errors into one line."""
    try:
        yield
    except _ForeignTable:
        raise
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split(", /root")[0].split())[:200]
        raise ValueError(
            f"{location} cannot be read or written ({reason}): free disk space if the disk is full; "
            "if the gallery is damaged, restore a copy"
        ) from None


def _rows(table: Any) -> ReferenceTable:
    table = table.set_column(table.column_names.index("extra"), "extra", table.column("extra").fill_null(EMPTY_JSON))
    texts = {name: table.column(name).to_numpy().astype(object) for name in ("path", "category", "extra")}
    times = table.column("time").to_numpy().astype("datetime64[us]")
    return ReferenceTable(texts["path"], texts["category"], table.column("camera").to_numpy(), times, texts["extra"])


def _sql(where: Filter) -> str:
    conditions = []
    for column, values in (("category", where.categories), ("path", where.paths)):
        if values:
            texts = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
            conditions.append(f"{column} IN ({texts})")
    if where.cameras:
        conditions.append(f"camera IN ({', '.join(str(int(camera)) for camera in where.cameras)})")
    for sign, time in ((">=", where.since), ("<=", where.until)):
        if time is not None:
            conditions.append(f"time {sign} timestamp '{str(to_utc(time)).replace('T', ' ')}'")
    return " AND ".join(conditions)
