"""Distinct file names for images of the same name. torchreid's tools name the figures that they write after the image."""

import os
from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.images import file_of, read_image

MAX_BYTES = 150  # of an image's name in the name of its link; a file system allows 255, and the tools add to it


def with_unique_names(items: Sequence[Item], folder: str | Path) -> list[Item]:
    """Returns the items with links to the images as paths, such as `0007_0002.jpg` for `cam3/0001/0002.jpg` in row 7.

    torchreid's tools cannot read a part of a wide file, so it becomes a file instead of a link.

    Args:
        items: test images. If their file names without suffix are distinct, they are returned unchanged.
        folder: an existing folder, for the links.
    """
    paths = [Path(item.impath).absolute() for item in items]
    files = [Path(file_of(str(path))) for path in paths]
    if files == paths and len({path.stem for path in paths}) == len(paths):
        return list(items)
    width = max(4, len(str(len(paths))))
    links = [Path(folder) / f"{row:0{width}}_{_shortened(file)}" for row, file in enumerate(files)]
    for path, file, link in zip(paths, files, links, strict=True):
        if path == file:
            link.symlink_to(path)
        else:
            read_image(str(path)).save(link)
    return [item._replace(impath=str(link)) for item, link in zip(items, links, strict=True)]


def _shortened(path: Path) -> str:
    stem = os.fsencode(path.stem)
    return (path.stem if len(stem) <= MAX_BYTES else stem[-MAX_BYTES:].decode(errors="ignore")) + path.suffix[:10]
