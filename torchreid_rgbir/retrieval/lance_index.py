"""The index of a LanceDB gallery, IVF_HNSW_SQ: how it is made and asked.

Its settings were measured by `torchreid-rgbir benchmark --only search` (docs/scale.md).
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require

require("gallery", "lancedb")
import lancedb  # noqa: E402
import pyarrow as pa  # noqa: E402
from lancedb.background_loop import LOOP  # noqa: E402
from lancedb.index import Bitmap, BTree, HnswSq  # noqa: E402

# A partition is a graph of its own, and every one is asked, since asking half of them loses a seventh of the nearest images: so there are few.
PARTITION_ROWS = 4_000_000  # a graph is made in memory, with its codes some 700 bytes an image
ALL_PARTITIONS = 2**16
GRAPH_DEGREE, CONSTRUCTION_CANDIDATES, SEARCH_CANDIDATES = 20, 150, 100
FILTERED_CANDIDATES = 300  # a filter hides most of what the graph leads to
REFINE = 2  # of so many times k candidates the stored features decide, not their 8-bit codes
QUERIES_AT_ONCE = 64


def make_index(table: Any) -> None:
    """Indexes the features of a table, and the columns that filters ask for."""
    config = HnswSq(
        distance_type="cosine",
        num_partitions=-(-table.count_rows() // PARTITION_ROWS),
        m=GRAPH_DEGREE,
        ef_construction=CONSTRUCTION_CANDIDATES,
    )
    table.create_index("feature", config=config)
    # Without these a filter reads its whole column at every search.
    for column, kind in (("category", BTree()), ("camera", Bitmap()), ("time", BTree())):
        table.create_index(column, config=kind)


class IndexReader:
    """Asks the index of one version of a table.

    By the library's asynchronous interface: its other one goes to and fro between two threads six times a query, which takes longer than
    the search, and keeps to one core.

    Args:
        where: the store.
        table: name of the table in it.
        version: of the table.
    """

    def __init__(self, where: str, table: str, version: int):
        self._table = LOOP.run(_open(where, table, version))

    def ask(self, queries: NDArray[np.float32], k: int, condition: str, columns: Sequence[str]) -> list[pa.Table]:
        """The nearest rows of each query.

        Args:
            queries: (Q, D).
            k: how many.
            condition: SQL that a row must meet to take part; "" for none.
            columns: of the answers, besides _distance, 1 - cosine.

        Returns:
            Q tables, nearest row first.
        """
        return LOOP.run(self._ask(queries, k, condition, columns))

    async def _ask(
        self, queries: NDArray[np.float32], k: int, condition: str, columns: Sequence[str]
    ) -> list[pa.Table]:
        found: list[pa.Table] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            group = queries[start : start + QUERIES_AT_ONCE]
            found += await asyncio.gather(*(self._nearest(query, k, condition, columns) for query in group))
        return found

    async def _nearest(self, query: NDArray[np.float32], k: int, condition: str, columns: Sequence[str]) -> pa.Table:
        candidates = FILTERED_CANDIDATES if condition else SEARCH_CANDIDATES
        asked = self._table.query().nearest_to(query).column("feature").distance_type("cosine").limit(k)
        asked = asked.nprobes(ALL_PARTITIONS).ef(max(candidates, REFINE * k)).refine_factor(REFINE)
        if condition:
            asked = asked.where(condition)  # the library's default: before the search, not among what it found
        return await asked.select([*columns, "_distance"]).to_arrow()


async def _open(where: str, name: str, version: int) -> Any:
    table = await (await lancedb.connect_async(where)).open_table(name)
    await table.checkout(version)
    return table
