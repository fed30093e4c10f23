"""Draws single-shot galleries in the same way as AGW's public code (Ye et al., PAMI 2021): `random`, seeded with the trial's number."""

import logging
import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures

logger = logging.getLogger(__name__)

NUM_TRIALS = 10


def folders(gallery: TestFeatures) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Maps (pid, camid) to the rows of that identity's images in that camera; keys and rows are in canonical order."""
    changes = np.flatnonzero((np.diff(gallery.pids) != 0) | (np.diff(gallery.camids) != 0)) + 1
    groups = np.split(np.arange(len(gallery)), changes)
    return {(int(gallery.pids[rows[0]]), int(gallery.camids[rows[0]])): rows for rows in groups}


def check_numbers(data: TestFeatures) -> None:
    """Checks that every folder is complete: AGW's code draws from all files of a folder, so missing images change the galleries.

    Without image numbers this cannot be checked, and a warning says what is assumed.

    Raises:
        ValueError: the numbers of a folder (an identity, camera and modality) are not 1 to n. The message names the first such row.
    """
    if data.image_numbers is None:
        logger.warning(
            "WARNING: without image_numbers, the images of a folder are taken in the order of their rows. "
            "The galleries are AGW's only if the rows follow the sorted file names and no file is missing"
        )
        return
    keys = data.modalities, data.pids, data.camids
    order = np.lexsort([data.image_numbers, *keys])
    starts = np.ones(len(data), bool)  # the first row of each folder
    starts[1:] = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    places = np.arange(len(data)) - np.flatnonzero(starts)[np.cumsum(starts) - 1] + 1
    wrong = data.image_numbers[order] != places
    if wrong.any():
        row = int(order[wrong].min())
        raise ValueError(
            f"image_numbers: row {row} is {data.image_numbers[row]}, but the images of camera {data.camids[row]}, "
            f"identity {data.pids[row]} are not numbered 1, 2, 3 ... without gap or repetition: extract every test image"
        )


def draw_agw(gallery: TestFeatures, camids: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draws one image per identity and camera. Identities, and their cameras, take their turns in ascending order.

    Args:
        gallery: G images in canonical order (`TestFeatures.of`).
        camids: the cameras to draw from.

    Returns:
        The chosen rows of each of the ten trials, ascending.
    """
    drawn_from = [rows for (_, camid), rows in folders(gallery).items() if camid in camids]
    trials = []
    for trial in range(NUM_TRIALS):
        generator = random.Random(trial)  # the same numbers as after random.seed(trial)
        trials.append(np.array([rows[generator.choice(range(len(rows)))] for rows in drawn_from], np.int64))
    return trials
