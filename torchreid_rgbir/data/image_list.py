"""Lists of images: text files with one `path label` per line, the format of RegDB and LLCM."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from torchreid_rgbir.data.cross_modal import Item


def read_image_list(path: Path, folder: Path) -> list[tuple[str, int]]:
    """Reads a list of images and checks that the images exist.

    Args:
        path: the list. Empty lines are skipped.
        folder: the data set's folder. Listed paths are relative to it.

    Returns:
        (path of the image, label) in the order of the list.

    Raises:
        ValueError: a line is not `path label` (the message has its number), or the list is empty.
        FileNotFoundError: the list or a listed image is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: download the data set's official lists")
    images = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")  # a path may contain spaces
        if not name or not label.removeprefix("-").isdecimal():
            raise ValueError(f"{path}, line {number}: expected `path label`, got {line.strip()[:60]!r}: fix the line")
        images.append((os.path.normpath(folder / name.strip()), int(label)))
    if not images:
        raise ValueError(f"{path} lists no image: download the data set's official lists")
    missing = [image for image, _ in images if not os.path.isfile(image)]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is missing ({len(missing)} of the {len(images)} images in {path} are missing): "
            "unpack the data set again"
        )
    return images


def numbered(items: Iterable[Item]) -> list[Item]:
    """Sets the number of every item: its 1-based place, by path, among the images of its identity, modality and camera."""
    count: Counter[tuple[int, int, int]] = Counter()
    result = []
    for item in sorted(items, key=lambda item: item.impath):
        group = (item.pid, item.modality, item.camid)
        count[group] += 1
        result.append(item._replace(number=count[group]))
    return result


def relabeled(items: Iterable[Item]) -> list[Item]:
    """Replaces identity numbers by 0..N-1, in ascending order."""
    items = list(items)
    label = {pid: i for i, pid in enumerate(sorted({item.pid for item in items}))}
    return [item._replace(pid=label[item.pid]) for item in items]
