"""Finds the images of a data set that cannot be read, and leaves them out if asked to."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from torchreid_rgbir import terminal
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.images import read_image


def find_broken_images(paths: Sequence[str], progress: bool = False) -> dict[str, str]:
    """Decodes every image, several at a time.

    Args:
        paths: of images.
        progress: shows a bar, if standard error is a terminal.

    Returns:
        What is wrong with each one that cannot be read, by its path, in the order of `paths`.
    """
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # decoding leaves the interpreter to others
    try:
        errors = pool.map(_error, paths)
        watched = terminal.progress(errors, "opening images", len(paths), unit="image", shown=progress)
        return {path: error for path, error in zip(paths, watched, strict=True) if error}
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest


def exclude_broken_images(datasets: Sequence[CrossModalImageDataset]) -> dict[str, str]:
    """Takes the images that cannot be read out of data sets, in place.

    Returns:
        What `find_broken_images` found.

    Raises:
        ValueError: one of them has no image left.
    """
    broken = find_broken_images(sorted({item.impath for dataset in datasets for item in dataset.data}), progress=True)
    for dataset in datasets:
        for name in ("train", "query", "gallery", "data"):
            items = [item for item in getattr(dataset, name) if item[0] not in broken]
            setattr(dataset, name, items if name == "train" or dataset.mode == "train" else _numbered(items))
        if not dataset.data:
            raise ValueError(f"none of the {dataset.mode} images can be read: {next(iter(broken.values()))}")
        dataset.left_out = broken
    return broken


def _numbered(items: Sequence[Item]) -> list[Item]:
    """Items whose numbers, within a camera's images of an identity, have no gap."""
    seen: Counter = Counter()
    numbered = []
    for item in items:
        folder = item.modality, item.pid, item.camid
        seen[folder] += 1
        numbered.append(item._replace(number=seen[folder]))
    return numbered


def _error(path: str) -> str:
    try:
        read_image(path)
    except (ValueError, OSError) as error:
        return str(error).rpartition(": ")[0]  # what to do is said once, for all of them
    return ""
