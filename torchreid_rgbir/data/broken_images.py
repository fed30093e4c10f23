"""Finds images that cannot be read, and removes them from data sets if the configuration says so."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from torchreid_rgbir import terminal
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.image_list import numbered_in_order
from torchreid_rgbir.data.images import read_image

T = TypeVar("T")


def find_broken_images(paths: Sequence[str], progress: bool = False) -> dict[str, str]:
    """Decodes every image, several at a time, with a progress bar if `progress` and standard error is a terminal.

    Returns:
        For each image that cannot be read its path and what is wrong with it, in the order of `paths`.
    """
    return {path: error for path, error in zip(paths, for_each_image(_error, paths, progress), strict=True) if error}


def for_each_image(function: Callable[[str], T], paths: Sequence[str], progress: bool = False) -> list[T]:
    """Calls a function that decodes an image for every path, in several threads."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # Pillow decodes without holding Python's lock
    try:
        results = pool.map(function, paths)
        return list(terminal.progress(results, "opening images", len(paths), unit="image", shown=progress))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest


def exclude_broken_images(datasets: Sequence[CrossModalImageDataset]) -> dict[str, str]:
    """Removes the images that cannot be read from data sets, in place.

    Returns:
        As `find_broken_images`.

    Raises:
        ValueError: a data set has no image left.
    """
    broken = find_broken_images(sorted({item.impath for dataset in datasets for item in dataset.data}), progress=True)
    for dataset in datasets:
        for name in ("train", "query", "gallery", "data"):
            items = [item for item in getattr(dataset, name) if item[0] not in broken]
            setattr(dataset, name, items if "train" in (name, dataset.mode) else numbered_in_order(items))
        if not dataset.data:
            raise ValueError(f"none of the {dataset.mode} images can be read: {next(iter(broken.values()))}")
        dataset.left_out = broken
    return broken


def _error(path: str) -> str:
    try:
        read_image(path)
    except (ValueError, OSError) as error:
        return str(error).rpartition(": ")[0]  # the advice is shown once for all of them
    return ""
