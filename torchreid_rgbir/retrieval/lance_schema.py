"""The columns of a LanceDB gallery, and conversions between them and a `ReferenceTable`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.extras import require
from torchreid_rgbir.retrieval.reference_table import Filter, ReferenceMatch, ReferenceTable
from torchreid_rgbir.retrieval.store import GalleryInfo, condition

require("gallery", "pyarrow")
import pyarrow as pa  # noqa: E402

COLUMNS = ("path", "category", "camera", "time", "extra")
STATE = "state"  # a column that galleries of earlier versions get with their next addition
EMPTY_JSON = "{}"


def make_schema(about: GalleryInfo) -> pa.Schema:
    return pa.schema(
        [
            pa.field("feature", pa.list_(pa.float32(), about.dim), metadata=about.as_text()),
            ("path", pa.string()),
            ("category", pa.string()),
            ("camera", pa.int64()),
            ("time", pa.timestamp("us")),
            ("extra", pa.string()),
            (STATE, pa.string()),
        ]
    )


def to_arrow(features: NDArray[np.float32], rows: ReferenceTable, schema: pa.Schema) -> pa.Table:
    columns = {
        "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1]),
        "path": rows.paths,
        "category": rows.categories,
        "camera": rows.cameras,
        "time": rows.times,
        # An empty object is stored as null: thousands of equal texts are stored as a run, which is slower to read.
        "extra": pa.array(rows.extras, pa.string(), mask=rows.extras == EMPTY_JSON),
        STATE: pa.array(rows.states, pa.string(), mask=rows.states == ""),
    }
    return pa.table(columns, schema=schema)


def to_rows(table: pa.Table) -> ReferenceTable:
    states = np.full(len(table), "", object)
    if STATE in table.column_names:
        states = table.column(STATE).fill_null("").to_numpy().astype(object)
    table = table.set_column(table.column_names.index("extra"), "extra", table.column("extra").fill_null(EMPTY_JSON))
    texts = {name: table.column(name).to_numpy().astype(object) for name in ("path", "category", "extra")}
    times = table.column("time").to_numpy().astype("datetime64[us]")
    cameras = table.column("camera").to_numpy()
    return ReferenceTable(texts["path"], texts["category"], cameras, times, texts["extra"], states)


def to_matches(found: pa.Table) -> list[ReferenceMatch]:
    rows, distances = to_rows(found), found.column("_distance").to_numpy()
    return [rows.match(row, 1 - distance) for row, distance in enumerate(distances)]


def to_sql(where: Filter) -> str:
    def listed(values: Sequence) -> str:
        texts = ("'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value) for value in values)
        return f"({', '.join(texts)})"

    return condition(where, listed, lambda moment: f"timestamp '{str(moment).replace('T', ' ')}'")
