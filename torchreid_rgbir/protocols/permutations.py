"""SYSU-MM01's official trials: reads rand_perm_cam.mat, which the data set's authors publish, and draws its galleries."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.protocols.galleries import NUM_TRIALS, folders
from torchreid_rgbir.protocols.matfile import read_variable

logger = logging.getLogger(__name__)

NUM_CAMERAS = 6

# Camera -> identity -> table (trials, images): row t is trial t's permutation of the folder's 1-based image numbers.
Permutations = dict[int, dict[int, NDArray[np.int64]]]


def read_permutations(path: str | Path) -> Permutations:
    """Reads rand_perm_cam.mat.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not a MATLAB file, or `parse_permutations` refuses its content.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the official trials are drawn from it. Put SYSU-MM01's rand_perm_cam.mat there, "
            "or choose the sampling agw"
        )
    try:
        cameras = read_variable(path, "rand_perm_cam")
    except ValueError as error:
        raise ValueError(
            f"{path} is not a readable MATLAB file ({error}): download SYSU-MM01's rand_perm_cam.mat again"
        ) from None
    if cameras is None:
        raise ValueError(f"{path} has no variable rand_perm_cam: use rand_perm_cam.mat of SYSU-MM01's exp folder")
    try:
        return parse_permutations(cameras)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_permutations(cameras: NDArray) -> Permutations:
    """Checks the variable rand_perm_cam: an object array of six cameras, each an object array with one table per identity.

    Identities without images in a camera are omitted.

    Raises:
        ValueError: the structure differs, there are fewer than ten trials, or a row is not a permutation. The message names camera
            and identity.
    """
    of_cells = cameras.dtype == object and all(np.asarray(camera).dtype == object for camera in cameras.flat)
    if not of_cells or cameras.size != NUM_CAMERAS:
        raise ValueError(
            f"rand_perm_cam is {cameras.dtype} {cameras.shape}, expected {NUM_CAMERAS} cells of cells, one per camera"
        )
    tables: Permutations = {}
    for camid, camera in enumerate(cameras.flat, start=1):
        tables[camid] = {}
        for pid, table in enumerate(camera.flat, start=1):
            table = np.asarray(table)
            if table.size == 0:
                continue
            where = f"camera {camid}, identity {pid}"
            if table.ndim != 2 or table.dtype.kind not in "iuf":
                raise ValueError(f"{where}: {table.dtype} {table.shape}, expected a table of trials x images")
            if len(table) < NUM_TRIALS:
                raise ValueError(f"{where}: the table has {len(table)} trials, expected {NUM_TRIALS}")
            if (np.sort(table, axis=1) != np.arange(1, table.shape[1] + 1)).any():
                raise ValueError(f"{where}: a row is not a permutation of the image numbers 1 to {table.shape[1]}")
            tables[camid][pid] = table.astype(np.int64)
    return tables


def check_images(data: TestFeatures, camids: Sequence[int], permutations: Permutations) -> None:
    """Compares the images that may be drawn with the permutation file. A folder that only the file has gives a warning.

    Args:
        data: the images in their given order, so that an error can name the row.
        camids: the cameras to draw from.

    Raises:
        ValueError: there are no image numbers, an image appears twice, or the file does not have an image. The message names the field
            and the first such row.
    """
    if data.image_numbers is None:
        raise ValueError(
            "image_numbers is missing: the official trials need the 1-based place of each image in its camera/id folder"
        )
    tables = ((camid, permutations.get(camid, {})) for camid in camids)
    num_images = {(camid, pid): table.shape[1] for camid, of_camera in tables for pid, table in of_camera.items()}
    seen = set()
    columns = (data.camids, data.pids, data.image_numbers)
    for row, image in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        camid, pid, number = image
        where = f"camera {camid}, identity {pid}"
        if image in seen:
            raise ValueError(
                f"image_numbers: row {row} is image {number} of {where} a second time: number from 1 in each folder"
            )
        seen.add(image)
        if camid in camids and (camid, pid) not in num_images:
            raise ValueError(
                f"pids: row {row} is of {where}, but the permutation file has no images of it: check pids, camids and the file"
            )
        if camid in camids and number > num_images[camid, pid]:
            raise ValueError(
                f"image_numbers: row {row} is image {number} of {where}, but the permutation file has {num_images[camid, pid]}: "
                "number from 1 in each folder"
            )
    pids, present = set(data.pids.tolist()), {(camid, pid) for camid, pid, _ in seen}
    absent = [folder for folder in num_images if folder not in present and folder[1] in pids]
    if absent:
        logger.warning(
            "WARNING: the permutation file has images of camera %d, identity %d, but the features have none (%d such folders). "
            "The galleries are not SYSU-MM01's, so do not report the numbers as SYSU-MM01 results",
            *absent[0],
            len(absent),
        )


def draw_official(
    gallery: TestFeatures, camids: Sequence[int], shots: int, permutations: Permutations
) -> list[NDArray[np.int64]]:
    """Draws the first `shots` images of each trial's permutation, for each identity and camera; all images if there are fewer.

    Args:
        gallery: G images in canonical order (`TestFeatures.of`); `check_images` has accepted them.
        camids: the cameras to draw from.

    Returns:
        The drawn rows of each of the ten trials, ascending.

    Raises:
        ValueError: a drawn image is missing. The message names camera and identity.
    """
    image_numbers = np.asarray(gallery.image_numbers)
    trials: list[list[int]] = [[] for _ in range(NUM_TRIALS)]
    for (pid, camid), rows in folders(gallery).items():
        if camid not in camids:
            continue
        row_of = dict(zip(image_numbers[rows].tolist(), rows.tolist(), strict=True))
        for trial, numbers in zip(trials, permutations[camid][pid][:NUM_TRIALS, :shots].tolist(), strict=True):
            missing = [number for number in numbers if number not in row_of]
            if missing:
                raise ValueError(
                    f"image_numbers: no row is image {missing[0]} of camera {camid}, identity {pid}, but the permutation file draws it: "
                    "extract every test image"
                )
            trial += [row_of[number] for number in numbers]
    return [np.sort(np.array(trial, np.int64)) for trial in trials]
