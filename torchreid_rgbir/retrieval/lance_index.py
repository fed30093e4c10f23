"""The index of a LanceDB gallery, IVF_HNSW_SQ: how it is built and searched.

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

# Each partition is a separate graph. All of them are searched, because half of them would miss a seventh of the nearest
# images. So there are few partitions.
PARTITION_ROWS = 4_000_000  # a graph is built in memory: about 700 bytes per image, codes included
ALL_PARTITIONS = 2**16
GRAPH_DEGREE, CONSTRUCTION_CANDIDATES, SEARCH_CANDIDATES = 20, 150, 100
FILTERED_CANDIDATES = 300  # a filter rejects most of the images that the graph leads to
REFINE = 2  # this many times k candidates are compared by their stored features instead of their 8-bit codes
QUERIES_AT_ONCE = 64


def make_index(table: Any) -> None:
    """Indexes the features of a table and the columns that filters use."""
    graphs = {"num_partitions": -(-table.count_rows() // PARTITION_ROWS), "m": GRAPH_DEGREE}
    config = HnswSq(distance_type="cosine", ef_construction=CONSTRUCTION_CANDIDATES, **graphs)
    table.create_index("feature", config=config)
    # Without these a filter reads its complete column in every search.
    for column, kind in (("category", BTree()), ("camera", Bitmap()), ("time", BTree())):
        table.create_index(column, config=kind)


class IndexReader:
    """Searches the index of one version of a table.

    It uses the library's asynchronous interface. The synchronous one switches between two threads six times per query,
    which takes longer than the search, and uses one core only.
    """

    def __init__(self, location: str, table: str, version: int):
        self._table = LOOP.run(_open(location, table, version))

    def search(self, queries: NDArray[np.float32], k: int, condition: str, columns: Sequence[str]) -> list[pa.Table]:
        """Returns the nearest rows of each query (Q, D) in Q tables, nearest row first.

        Args:
            k: number of rows.
            condition: SQL condition on the rows that take part, "" for none.
            columns: columns of the results. The column _distance, 1 - cosine, is added.
        """

        async def nearest(group: NDArray[np.float32]) -> list[pa.Table]:
            return await asyncio.gather(*(self._nearest(query, k, condition, columns) for query in group))

        starts = range(0, len(queries), QUERIES_AT_ONCE)
        return [table for start in starts for table in LOOP.run(nearest(queries[start : start + QUERIES_AT_ONCE]))]

    async def _nearest(self, query: NDArray[np.float32], k: int, condition: str, columns: Sequence[str]) -> pa.Table:
        candidates = FILTERED_CANDIDATES if condition else SEARCH_CANDIDATES
        search = self._table.query().nearest_to(query).column("feature").distance_type("cosine").limit(k)
        search = search.nprobes(ALL_PARTITIONS).ef(max(candidates, REFINE * k)).refine_factor(REFINE)
        if condition:
            search = search.where(condition)  # by default the library filters before the search
        return await search.select([*columns, "_distance"]).to_arrow()


async def _open(location: str, name: str, version: int) -> Any:
    table = await (await lancedb.connect_async(location)).open_table(name)
    await table.checkout(version)
    return table
