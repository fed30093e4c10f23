"""A gallery on a Milvus server or cluster, for galleries that outgrow one machine: one collection with an HNSW index."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.search import unit
from torchreid_rgbir.retrieval.store import GalleryInfo, Store, condition, threshold_as_text

require("cluster", "pymilvus")
from pymilvus import DataType, MilvusClient  # noqa: E402
from pymilvus.exceptions import MilvusException  # noqa: E402

COLLECTION = "references"
COLUMNS = ["path", "category", "camera", "time", "extra"]
STATE = "state"  # a column that collections of earlier versions do not have
BATCH_ROWS = 4096  # a message to the server holds at most 64 MB
MAX_TEXT = 4096  # bytes in a path or a category
GRAPH_DEGREE, CONSTRUCTION_CANDIDATES, SEARCH_CANDIDATES = 20, 150, 100
MAX_HITS = 16384  # per query, the server's limit
SECONDS_TO_ANSWER = 10


class MilvusStore(Store):
    """See `Store`. `add` makes one commit per 4,096 images. Other processes see changes immediately."""

    max_bytes = MAX_TEXT

    def __init__(self, location: str, client: MilvusClient, collection: str):
        self.location = location
        self._client = client
        self._collection = collection
        self.refresh()

    @classmethod
    def open(cls, location: str) -> "MilvusStore":
        client, collection = _connect(location)
        with _one_line_errors(location):
            if not client.has_collection(collection):
                raise FileNotFoundError(
                    f"{location} does not hold a gallery {collection}: make one with `torchreid-rgbir gallery add`"
                )
        return cls(location, client, collection)

    @classmethod
    def create(cls, location: str, about: GalleryInfo) -> "MilvusStore":
        client, collection = _connect(location)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("path", DataType.VARCHAR, max_length=MAX_TEXT, is_primary=True)
        schema.add_field("feature", DataType.FLOAT_VECTOR, dim=about.dim)
        schema.add_field("category", DataType.VARCHAR, max_length=MAX_TEXT)
        schema.add_field("camera", DataType.INT64)
        schema.add_field("time", DataType.INT64, nullable=True)  # microseconds since 1970, UTC
        schema.add_field("extra", DataType.JSON)
        schema.add_field(STATE, DataType.VARCHAR, max_length=MAX_TEXT)
        index = MilvusClient.prepare_index_params()
        parameters = {"M": GRAPH_DEGREE, "efConstruction": CONSTRUCTION_CANDIDATES}
        index.add_index("feature", index_type="HNSW", metric_type="IP", params=parameters)
        options = {
            "schema": schema,
            "index_params": index,
            "properties": about.as_text(),
            "consistency_level": "Strong",
        }
        exists = f"{location} already holds a gallery {collection}: choose a different name, or add to it"
        with _one_line_errors(location):
            if client.has_collection(collection):
                raise FileExistsError(exists)
            try:
                client.create_collection(collection, **options)
            except MilvusException:
                if client.has_collection(collection):  # a different process made it meanwhile
                    raise FileExistsError(exists) from None
                raise
        return cls(location, client, collection)

    def __len__(self) -> int:
        with _one_line_errors(self.location):
            return int(self._client.query(self._collection, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def add(self, features: NDArray, rows: ReferenceTable, same_files: bool = False) -> None:
        # `same_files` has no effect: a server has no lock under which the stored paths could be looked up.
        columns = {
            "path": rows.paths,
            "feature": features,
            "category": rows.categories,
            "camera": rows.cameras.tolist(),
            "time": [None if np.isnat(time) else int(time.astype(np.int64)) for time in rows.times],
            "extra": map(json.loads, rows.extras),
        } | ({STATE: rows.states} if self._has_states else {})
        entries = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        with _one_line_errors(self.location):
            for start in range(0, len(entries), BATCH_ROWS):
                self._client.upsert(self._collection, entries[start : start + BATCH_ROWS])

    def remove(self, where: Filter) -> int:
        before = len(self)
        with _one_line_errors(self.location):
            self._client.delete(self._collection, filter=_expression(where))
        return before - len(self)

    def rows(self, where: Filter) -> ReferenceTable:
        found: list[dict] = []
        columns = [*COLUMNS, STATE] if self._has_states else COLUMNS
        with _one_line_errors(self.location):
            pages = self._client.query_iterator(
                self._collection, batch_size=BATCH_ROWS, filter=_expression(where), output_fields=columns
            )
            while page := pages.next():
                found += page
            pages.close()
        return _rows(found)

    def search(self, queries: NDArray, k: int, where: Filter, exact: bool | None) -> list[list[ReferenceMatch]]:
        if exact:
            raise ValueError(f"{self.location} can be searched only by its server's index: omit exact")
        with _one_line_errors(self.location):
            found = self._client.search(
                self._collection,
                data=list(unit(queries)),
                limit=min(k, MAX_HITS),
                filter=_expression(where),
                output_fields=COLUMNS,
                search_params={"params": {"ef": max(SEARCH_CANDIDATES, 4 * k)}},
            )
        answers = []
        for hits in found:
            rows = _rows([hit["entity"] for hit in hits])
            answers.append([rows.match(row, hit["distance"]) for row, hit in enumerate(hits)])
        return answers

    def set_threshold(self, threshold: float, false_match_rate: float | None) -> None:
        metadata = threshold_as_text(threshold, false_match_rate)
        with _one_line_errors(self.location):
            self._client.alter_collection_properties(self._collection, metadata)
        self.refresh()

    def refresh(self) -> None:
        with _one_line_errors(self.location):
            found = self._client.describe_collection(self._collection)
        self._has_states = any(field["name"] == STATE for field in found["fields"])
        try:
            self.about = GalleryInfo.from_text(found.get("properties", {}))
        except KeyError as error:
            raise ValueError(
                f"{self.location} is not a gallery of this package ({error} is missing): choose a different name"
            ) from None

    def compact(self, index: bool, erase: bool) -> int:
        if index or erase:
            raise ValueError(
                f"{self.location}: the server maintains its index and erases removed images itself: omit --index and --erase"
            )
        with _one_line_errors(self.location):
            self._client.compact(self._collection)
        return 0  # the path is the primary key


def _connect(location: str) -> tuple[MilvusClient, str]:
    address = urlsplit(location)
    with _one_line_errors(location):
        client = MilvusClient(f"{address.scheme}://{address.netloc}", timeout=SECONDS_TO_ANSWER)
    return client, address.path.strip("/") or COLLECTION


@contextmanager
def _one_line_errors(location: str) -> Iterator[None]:
    """Turns the server's errors into one line."""
    try:
        yield
    except MilvusException as error:
        reason = " ".join(str(error.message).split())[:200]
        raise ConnectionError(
            f"{location}: the request failed ({reason}): check that the server is running and the address is correct"
        ) from None


def _rows(found: Sequence[dict]) -> ReferenceTable:
    columns = (
        ([row["path"] for row in found], object),
        ([row["category"] for row in found], object),
        ([row["camera"] for row in found], np.int64),
        ([row["time"] if row["time"] is not None else "NaT" for row in found], "datetime64[us]"),
        ([json.dumps(row["extra"]) for row in found], object),
        ([row.get(STATE, "") for row in found], object),
    )
    return ReferenceTable(*(np.array(values, kind) for values, kind in columns))


def _expression(where: Filter) -> str:
    def listed(values: Sequence) -> str:
        return json.dumps(list(values), ensure_ascii=False)

    return condition(where, listed, lambda moment: str(int(moment.astype(np.int64))))
