"""Distinct file names for images of the same name. torchreid's tools name the figures that they write after the image."""

import os
from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir.data.cross_modal import Item

MAX_BYTES = 150  # of an image's name in the name of its link; a file system allows 255, and the tools add to it


def with_unique_names(items: Sequence[Item], folder: str | Path) -> list[Item]:
    """Returns the items with links to the images as paths, such as `0007_0002.jpg` for `cam3/0001/0002.jpg` in row 7.

    Args:
        items: test images. If their file names without suffix are distinct, they are returned unchanged.
        folder: an existing folder, for the links.
    """
    paths = [Path(item.impath).absolute() for item in items]
    if len({path.stem for path in paths}) == len(paths):
        return list(items)
    width = max(4, len(str(len(paths))))
    links = [Path(folder) / f"{row:0{width}}_{_shortened(path)}" for row, path in enumerate(paths)]
    for path, link in zip(paths, links, strict=True):
        link.symlink_to(path)
    return [item._replace(impath=str(link)) for item, link in zip(items, links, strict=True)]


def _shortened(path: Path) -> str:
    stem = os.fsencode(path.stem)
    return (path.stem if len(stem) <= MAX_BYTES else stem[-MAX_BYTES:].decode(errors="ignore")) + path.suffix[:10]
