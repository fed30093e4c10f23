"""Drawing single-shot galleries as AGW's public code does (Ye et al., PAMI 2021): Python's `random`, seeded with the trial's number."""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures

NUM_TRIALS = 10


def folders(gallery: TestFeatures) -> dict[tuple[int, int], NDArray[np.int64]]:
    """(pid, camid) -> the rows of that camera's images of that identity, in the order of `TestFeatures.of`, as is the dict."""
    changes = np.flatnonzero((np.diff(gallery.pids) != 0) | (np.diff(gallery.camids) != 0)) + 1
    groups = np.split(np.arange(len(gallery)), changes)
    return {(int(gallery.pids[rows[0]]), int(gallery.camids[rows[0]])): rows for rows in groups}


def draw_agw(gallery: TestFeatures, camids: Sequence[int]) -> list[NDArray[np.int64]]:
    """One image per identity and camera: for each trial, for each identity and each of its cameras in ascending order, `random.choice`.

    Args:
        gallery: G images in canonical order (`TestFeatures.of`).
        camids: the cameras to draw from.

    Returns:
        The chosen rows of each of the ten trials, ascending.
    """
    rows_of = {folder: rows for folder, rows in folders(gallery).items() if folder[1] in camids}
    trials = []
    for trial in range(NUM_TRIALS):
        generator = random.Random(trial)  # the stream of random.seed(trial)
        trials.append(np.array([rows[generator.choice(range(len(rows)))] for rows in rows_of.values()], np.int64))
    return trials
