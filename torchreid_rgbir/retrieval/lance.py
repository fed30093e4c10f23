"""A gallery in LanceDB: one table, on a disk or object storage; every change is a versioned commit of the library."""

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
from torchreid_rgbir.retrieval.gallery import LANCE_TABLE, Gallery, GalleryInfo
from torchreid_rgbir.retrieval.reference_table import Filter, Match, ReferenceTable, to_utc
from torchreid_rgbir.retrieval.references import References, check_queries
from torchreid_rgbir.retrieval.search import unit

# Read at the import; its warnings are about its own affairs.
os.environ.setdefault("LANCE_LOG", "error")
os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")
require("gallery", "lancedb")
import lancedb  # noqa: E402
import pyarrow as pa  # noqa: E402

from torchreid_rgbir.retrieval.lance_index import IndexReader, make_index  # noqa: E402

EXACT_ROWS = 1_000_000  # up to here a search compares with every image (2 GB of features at D = 512)
BATCH_ROWS = 8192  # read at a time
COLUMNS = ("path", "category", "camera", "time", "extra")
EMPTY_JSON = "{}"


class LanceGallery(Gallery):
    """See `Gallery`. Up to `EXACT_ROWS` images the features are held in memory, from the first search on."""

    def __init__(self, where: str, table: Any):
        self.where = where
        self._table = table
        self._held: References | None = None
        self._reader: IndexReader | None = None
        self._renew()

    @classmethod
    def open_at(cls, where: str) -> "LanceGallery":
        missing = FileNotFoundError(f"{where} is no gallery: make one with `torchreid-rgbir gallery add`")
        folder = Path(where) / f"{LANCE_TABLE}.lance"
        if "://" not in where and (not folder.is_dir() or _is_cut_short(folder)):
            raise missing  # before the library makes a folder of that name
        with _working(where):
            database = lancedb.connect(where)
            if LANCE_TABLE in database.list_tables().tables:
                return cls(where, database.open_table(LANCE_TABLE))
        raise missing

    @classmethod
    def create_at(cls, where: str, about: GalleryInfo) -> "LanceGallery":
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
        folder = Path(where) / f"{LANCE_TABLE}.lance"
        if "://" not in where and Path(where).exists():
            if _is_cut_short(folder):
                shutil.rmtree(folder)
            if not Path(where).is_dir() or any(Path(where).iterdir()):
                raise FileExistsError(f"{where} exists already: choose another place, or add to it")
        with _working(where):
            database = lancedb.connect(where)
            if LANCE_TABLE not in database.list_tables().tables:
                return cls(where, database.create_table(LANCE_TABLE, schema=schema))
        raise FileExistsError(f"{where} exists already: choose another place, or add to it")

    def __len__(self) -> int:
        return self._num_rows

    def _add(self, features: NDArray, rows: ReferenceTable) -> None:
        table = pa.table(
            {
                "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), self.about.dim),
                "path": rows.paths,
                "category": rows.categories,
                "camera": rows.cameras,
                "time": rows.times,
                # Where nothing is known the column is empty: thousands of equal texts are stored as a run, which takes longer to read.
                "extra": pa.array(rows.extras, pa.string(), mask=rows.extras == EMPTY_JSON),
            },
            schema=self._table.schema,
        )
        with _working(self.where):
            merge = self._table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(table)
            self._renew()

    def _remove(self, where: Filter) -> int:
        with _working(self.where):
            removed = self._table.delete(_sql(where)).num_deleted_rows
            self._renew()
        return removed

    def rows(self, where: Filter = Filter()) -> ReferenceTable:  # noqa: B008
        with _working(self.where):
            query = self._table.search().select(list(COLUMNS))
            if where:
                query = query.where(_sql(where))
            return _rows(query.to_arrow())

    def references(self) -> References:
        """All of it in memory."""
        if self._held is None:
            with _working(self.where):
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

    def search(
        self,
        queries: NDArray,
        k: int = 10,
        where: Filter = Filter(),  # noqa: B008
        exact: bool | None = None,
    ) -> list[list[Match]]:
        if exact is None:
            exact = not self._indexed or len(self) <= EXACT_ROWS
        if exact:
            return self.references().search(queries, k, where)
        if not self._indexed:
            raise ValueError(f"{self.where} has no index: make it with `torchreid-rgbir gallery compact --index`")
        check_queries(queries, k, self.about.dim)
        with _working(self.where):
            if self._reader is None:
                self._reader = IndexReader(self.where, LANCE_TABLE, self._table.version)
            found = self._reader.ask(unit(queries), k, _sql(where), COLUMNS)
        return [_matches(table) for table in found]

    def set_threshold(self, threshold: float) -> None:
        with _working(self.where):
            self._table.update_field_metadata({"path": "feature", "metadata": {"threshold": repr(float(threshold))}})
            self._renew()

    def refresh(self) -> None:
        with _working(self.where):
            self._table.checkout_latest()
            self._renew()

    def compact(self, index: bool = False, erase: bool = False) -> None:
        with _working(self.where), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cleanup_older_than=0")  # our docstring says the same
            index = index or (erase and self._indexed)  # its codes tell of removed images too
            if index:
                # First everything else: to move rows under an index makes the library build it again.
                for made in self._table.list_indices():
                    self._table.drop_index(made.name)
            if erase:
                # The library's own compaction leaves a file alone while less than a tenth of its rows are removed.
                self._table.add(self._table.search().to_batches(BATCH_ROWS), mode="overwrite")
            self._table.optimize(
                cleanup_older_than=timedelta(0) if erase else timedelta(hours=1), delete_unverified=erase
            )
            if index:
                make_index(self._table)
            self._renew()

    def _renew(self) -> None:
        """Looks at the table again, after a change."""
        self._held = None
        self._reader = None
        self._num_rows: int = self._table.count_rows()
        self._indexed = any(index.columns == ["feature"] for index in self._table.list_indices())
        described = {
            key.decode(): value.decode() for key, value in (self._table.schema.field(0).metadata or {}).items()
        }
        try:
            self.about = GalleryInfo.from_text(described)
        except KeyError as error:
            raise _NotOurs(
                f"{self.where} is no gallery of ours ({error} is missing): make one with gallery add"
            ) from None


def _matches(found: Any) -> list[Match]:
    rows, distances = _rows(found), found.column("_distance").to_numpy()
    return [rows.match(row, 1 - distance) for row, distance in enumerate(distances)]


def _is_cut_short(folder: Path) -> bool:
    """Whether a process ended while it made this table, before its first commit."""
    return folder.is_dir() and not any(folder.glob("_versions/*.manifest")) and not any(folder.glob("data/*"))


class _NotOurs(ValueError):
    """A table in the store that nobody here has made."""


@contextmanager
def _working(where: str) -> Iterator[None]:
    """What goes wrong in the store, in one line."""
    try:
        yield
    except _NotOurs:
        raise
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split(", /root")[0].split())[:200]
        raise ValueError(
            f"{where} cannot be read or written ({reason}): free the disk if it is full; if it is damaged, restore a copy"
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
