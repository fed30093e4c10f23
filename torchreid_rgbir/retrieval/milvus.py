"""A gallery on a Milvus server or cluster, for galleries that outgrow one machine: one collection, searched by the server's HNSW index."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval.gallery import Gallery, GalleryInfo
from torchreid_rgbir.retrieval.reference_table import Filter, Match, ReferenceTable, to_utc
from torchreid_rgbir.retrieval.references import check_queries
from torchreid_rgbir.retrieval.search import unit

require("cluster", "pymilvus")
from pymilvus import DataType, MilvusClient  # noqa: E402
from pymilvus.exceptions import MilvusException  # noqa: E402

COLLECTION = "references"
COLUMNS = ["path", "category", "camera", "time", "extra"]
BATCH_ROWS = 4096  # a message to the server may hold 64 MB
MAX_TEXT = 4096  # bytes of a path or a category
GRAPH_DEGREE, CONSTRUCTION_CANDIDATES, SEARCH_CANDIDATES = 20, 150, 100
MAX_HITS = 16384  # of one query, the server's limit
SECONDS_TO_ANSWER = 10


class MilvusGallery(Gallery):
    """See `Gallery`; `add` is in one commit up to 4,096 images, in one for each 4,096 beyond, and others see changes at once."""

    def __init__(self, where: str, client: MilvusClient, collection: str):
        self.where = where
        self._client = client
        self._collection = collection
        self.refresh()

    @classmethod
    def open_at(cls, where: str) -> "MilvusGallery":
        client, collection = _connect(where)
        with _answering(where):
            if not client.has_collection(collection):
                raise FileNotFoundError(
                    f"{where} holds no gallery {collection}: make one with `torchreid-rgbir gallery add`"
                )
        return cls(where, client, collection)

    @classmethod
    def create_at(cls, where: str, about: GalleryInfo) -> "MilvusGallery":
        client, collection = _connect(where)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("path", DataType.VARCHAR, max_length=MAX_TEXT, is_primary=True)
        schema.add_field("feature", DataType.FLOAT_VECTOR, dim=about.dim)
        schema.add_field("category", DataType.VARCHAR, max_length=MAX_TEXT)
        schema.add_field("camera", DataType.INT64)
        schema.add_field("time", DataType.INT64, nullable=True)  # microseconds since 1970, UTC
        schema.add_field("extra", DataType.JSON)
        index = MilvusClient.prepare_index_params()
        parameters = {"M": GRAPH_DEGREE, "efConstruction": CONSTRUCTION_CANDIDATES}
        index.add_index("feature", index_type="HNSW", metric_type="IP", params=parameters)
        with _answering(where):
            if client.has_collection(collection):
                raise FileExistsError(
                    f"{where} holds a gallery {collection} already: choose another name, or add to it"
                )
            client.create_collection(
                collection,
                schema=schema,
                index_params=index,
                properties=about.as_text(),
                consistency_level="Strong",
            )
        return cls(where, client, collection)

    def __len__(self) -> int:
        with _answering(self.where):
            return int(self._client.query(self._collection, filter="", output_fields=["count(*)"])[0]["count(*)"])

    def _add(self, features: NDArray, rows: ReferenceTable) -> None:
        times = rows.times.astype(np.int64).tolist()
        unknown = np.isnat(rows.times)
        entries = [
            {
                "path": rows.paths[i],
                "feature": features[i],
                "category": rows.categories[i],
                "camera": int(rows.cameras[i]),
                "time": None if unknown[i] else times[i],
                "extra": json.loads(rows.extras[i]),
            }
            for i in range(len(rows))
        ]
        with _answering(self.where):
            for start in range(0, len(entries), BATCH_ROWS):
                self._client.upsert(self._collection, entries[start : start + BATCH_ROWS])

    def _remove(self, where: Filter) -> int:
        before = len(self)
        with _answering(self.where):
            self._client.delete(self._collection, filter=_expression(where))
        return before - len(self)

    def rows(self, where: Filter = Filter()) -> ReferenceTable:  # noqa: B008
        found: list[dict] = []
        with _answering(self.where):
            pages = self._client.query_iterator(
                self._collection, batch_size=BATCH_ROWS, filter=_expression(where), output_fields=COLUMNS
            )
            while page := pages.next():
                found += page
            pages.close()
        return _rows(found)

    def search(
        self,
        queries: NDArray,
        k: int = 10,
        where: Filter = Filter(),  # noqa: B008
        exact: bool | None = None,
    ) -> list[list[Match]]:
        if exact:
            raise ValueError(f"{self.where} is searched by its server's index alone: leave exact out")
        check_queries(queries, k, self.about.dim)
        with _answering(self.where):
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

    def set_threshold(self, threshold: float) -> None:
        with _answering(self.where):
            self._client.alter_collection_properties(self._collection, {"threshold": repr(float(threshold))})
        self.refresh()

    def refresh(self) -> None:
        with _answering(self.where):
            found = self._client.describe_collection(self._collection).get("properties", {})
        try:
            self.about = GalleryInfo.from_text(found)
        except KeyError as error:
            raise ValueError(f"{self.where} is no gallery of ours ({error} is missing): choose another name") from None

    def compact(self, index: bool = False, erase: bool = False) -> None:
        if index or erase:
            raise ValueError(
                f"{self.where}: the server keeps its index and erases removed images by itself: compact alone"
            )
        with _answering(self.where):
            self._client.compact(self._collection)


def _connect(where: str) -> tuple[MilvusClient, str]:
    address = urlsplit(where)
    with _answering(where):
        client = MilvusClient(f"{address.scheme}://{address.netloc}", timeout=SECONDS_TO_ANSWER)
    return client, address.path.strip("/") or COLLECTION


@contextmanager
def _answering(where: str) -> Iterator[None]:
    """What goes wrong on the server, in one line."""
    try:
        yield
    except MilvusException as error:
        reason = " ".join(str(error.message).split())[:200]
        raise ConnectionError(f"{where} does not do it ({reason}): is the server up, and the address right?") from None


def _rows(found: Sequence[dict]) -> ReferenceTable:
    times = [row["time"] if row["time"] is not None else "NaT" for row in found]
    return ReferenceTable(
        np.array([row["path"] for row in found], object),
        np.array([row["category"] for row in found], object),
        np.array([row["camera"] for row in found], np.int64),
        np.array(times, "datetime64[us]"),
        np.array([json.dumps(row["extra"]) for row in found], object),
    )


def _expression(where: Filter) -> str:
    conditions = [
        f"{column} in {json.dumps(list(values), ensure_ascii=False)}"
        for column, values in (("category", where.categories), ("camera", where.cameras), ("path", where.paths))
        if values
    ]
    for sign, time in ((">=", where.since), ("<=", where.until)):
        if time is not None:
            conditions.append(f"time {sign} {int(to_utc(time).astype(np.int64))}")
    return " and ".join(conditions)
