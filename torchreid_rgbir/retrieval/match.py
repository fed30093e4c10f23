"""Matches the tracks of two cameras: each track gets at most one partner, and possibly none."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from torchreid_rgbir.retrieval.references import check_features
from torchreid_rgbir.retrieval.search import unit


class Pair(NamedTuple):
    """A track of camera A and its partner in camera B."""

    a: int  # row of the features
    b: int
    score: float  # cosine of their features, in [-1, 1]


def match_tracks(
    a: NDArray | Sequence[NDArray], b: NDArray | Sequence[NDArray], threshold: float | None = None
) -> list[Pair]:
    """Finds the one-to-one assignment with the largest sum of scores above the threshold.

    Args:
        a: (N, D) features of camera A.
        b: (M, D) features of camera B, of the same model.
        threshold: the lowest score of a pair. A track without a partner adds 0 to the sum, a pair its score minus the
            threshold. None: every track of the camera with fewer tracks gets a partner.

    Returns:
        At most min(N, M) pairs, sorted by row of `a`.

    Raises:
        ValueError: the features differ in size, or a value is not finite.
    """
    a, b = np.asarray(a), np.asarray(b)
    check_features(a, b.shape[1])
    check_features(b, b.shape[1])
    scores = unit(a).astype(np.float64) @ unit(b).astype(np.float64).T  # (N, M)
    gains = scores if threshold is None else np.maximum(scores - threshold, 0)
    rows, columns = linear_sum_assignment(gains, maximize=True)
    pairs = (
        Pair(row, column, float(scores[row, column]))
        for row, column in zip(*map(np.ndarray.tolist, (rows, columns)), strict=True)
    )
    return [pair for pair in pairs if threshold is None or pair.score >= threshold]


def read_pairs(path: str | Path) -> set[tuple[int, int]]:
    """Reads which tracks are the same, from the columns `a` and `b` of a CSV file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no such columns, or a number is not a whole number. The message names the line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{path} is missing: give a CSV file with the columns a and b")
    pairs = set()
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            if not {"a", "b"} <= set(reader.fieldnames or ()):
                raise ValueError(
                    "it has no columns a and b: write a header line and a pair of track numbers in each line"
                )
            for row in reader:
                try:
                    pairs.add((int(row["a"] or ""), int(row["b"] or "")))
                except ValueError:
                    raise ValueError(f"line {reader.line_num} has no two numbers of tracks: correct it") from None
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as pairs of tracks: {error}") from None
    return pairs
