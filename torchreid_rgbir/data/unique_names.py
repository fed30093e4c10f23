"""Distinct file names for images of the same name. torchreid's tools name the figures that they write after the image."""

from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir.data.cross_modal import Item


def with_unique_names(items: Sequence[Item], folder: str | Path) -> list[Item]:
    """Returns the items with links to the images as paths, such as `cam3_0001_0002.jpg` for `cam3/0001/0002.jpg`.

    Args:
        items: test images. If their file names are distinct already, they are returned unchanged.
        folder: an existing folder, for the links.
    """
    paths = [Path(item.impath).absolute() for item in items]
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        names = ["_".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    if depth == 1:
        return list(items)
    for path, name in zip(paths, names, strict=True):
        (Path(folder) / name).symlink_to(path)
    return [item._replace(impath=str(Path(folder) / name)) for item, name in zip(items, names, strict=True)]
