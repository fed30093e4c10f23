"""The scores of every query of a test, and the .csv file that stores them.

The file is a table, not an .npz file, because users sort and filter it: the queries that a model ranks worst, an identity, a camera.
"""

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.files import atomic
from torchreid_rgbir.metrics.ranking import Scores

COLUMNS = ["trial", "pid", "camid", "path", "first_match_rank", "ap", "inp"]


@dataclass(frozen=True)
class QueryScores:
    """The scores of Q queries in every trial of one setting of a protocol.

    Attributes:
        pids: (Q,) identities.
        camids: (Q,) cameras.
        paths: (Q,) the paths of the images; of a track, the path of its first frame.
        trials: the scores in the gallery of each trial.
        source: what errors call these scores, such as the path of their file.
    """

    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    paths: NDArray[np.str_]
    trials: Sequence[Scores]
    source: str = "scores"

    @property
    def weights(self) -> NDArray[np.float64]:
        """(Q,) the weight of each query in the mAP, 0 for a query without a match. The sum is 1."""
        return np.mean([(scores.first_match_rank > 0) / scores.num_valid for scores in self.trials], axis=0)

    @property
    def weighted_ap(self) -> NDArray[np.float64]:
        """(Q,) the part of each query in the mAP: its average precision times its weight. The sum is the mAP."""
        return np.mean([scores.ap / scores.num_valid for scores in self.trials], axis=0)


def save_queries(path: str | Path, queries: QueryScores) -> None:
    """Writes the file that `load_queries` reads: one row per trial and query, with the columns `COLUMNS`.

    `first_match_rank` is 1 for a Rank-1 hit. The scores of a query without a match are empty, so that they do not enter a mean.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    labels = list(zip(queries.pids.tolist(), queries.camids.tolist(), queries.paths.tolist(), strict=True))
    for trial, scores in enumerate(queries.trials, start=1):
        columns = (column.tolist() for column in scores)
        for label, (rank, *values) in zip(labels, zip(*columns, strict=True), strict=True):
            table.writerow([trial, *label, *([rank, *values] if rank else ["", "", ""])])
    with atomic.replacing(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # names of files need not be UTF-8


def load_queries(path: str | Path) -> QueryScores:
    """Reads the file that `save_queries` writes.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or it is a different table.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is missing: repeat the test with test.save_features True, which writes it")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file))
        if rows[:1] != [COLUMNS]:
            raise ValueError(f"its first line is not {','.join(COLUMNS)}")
        return dataclasses.replace(_parse(rows[1:]), source=str(path))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be used ({error}): repeat the test with test.save_features True") from None


def _parse(rows: list[list[str]]) -> QueryScores:
    if any(len(row) != len(COLUMNS) for row in rows):
        raise ValueError("a line is incomplete")
    num_trials = int(rows[-1][0]) if rows else 0
    if num_trials < 1 or len(rows) % num_trials:
        raise ValueError("lines are missing")
    columns = [np.reshape(column, (num_trials, -1)) for column in zip(*rows, strict=True)]  # (T, Q)
    numbers, pids, camids = (column.astype(np.int64) for column in columns[:3])
    same = all((column == column[0]).all() for column in (pids, camids, columns[3]))
    if not same or (numbers != np.arange(1, num_trials + 1)[:, None]).any():
        raise ValueError("lines are missing, or are not in their order")
    ranks, ap, inp = (np.where(column == "", "0", column).astype(np.float64) for column in columns[4:])
    fractions = np.stack([ap, inp])
    if not (ranks.any(axis=1).all() and (ranks >= 0).all() and (fractions >= 0).all() and (fractions <= 1).all()):
        raise ValueError("a value is outside its range")
    trials = [Scores(*scores) for scores in zip(ranks.astype(np.int64), ap, inp, strict=True)]
    return QueryScores(pids[0], camids[0], columns[3][0], trials)
