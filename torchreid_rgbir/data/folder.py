"""Any RGB-IR data of one's own, in folders: people, vehicles, anything with an identity."""

import re
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.modality import IR, NAMES, RGB

_CAMERA = re.compile(r"c(\d+)_")


class RGBIRFolder(CrossModalImageDataset):
    """train/{rgb,ir}/ID/*.jpg and test/{rgb,ir}/ID/*.jpg, where ID is any text; a file prefix `cN_` gives the camera, 0 = unknown.

    Training and test identities are numbered apart, in the order of their names: training identity i is `train_names[i]`, test identity i
    `test_names[i]`. The test skips gallery images of the query's own identity and camera, so RGB and IR cameras want numbers of their own.

    Args:
        root: the folder that holds train/ and test/.
        **kwargs: torchreid's.

    Raises:
        FileNotFoundError: one of the four folders is missing.
        ValueError: a folder holds no image of any identity.
    """

    def __init__(self, root: str = "", **kwargs):
        self.dataset_dir = Path(root).expanduser().absolute()
        for subset in ("train", "test"):
            for name in NAMES:
                if not (self.dataset_dir / subset / name).is_dir():
                    raise FileNotFoundError(
                        f"{self.dataset_dir / subset / name} is missing: set data.root (--root) to the folder "
                        "that holds train/rgb, train/ir, test/rgb and test/ir, each with one folder per identity"
                    )
        train, self.train_names = self._items("train")
        test, self.test_names = self._items("test")
        super().__init__(
            train=train,
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _items(self, subset: str) -> tuple[list[Item], list[str]]:
        images = {
            (folder.name, modality): list_images(folder)
            for modality, name in enumerate(NAMES)
            for folder in (self.dataset_dir / subset / name).iterdir()
            if folder.is_dir() and not folder.name.startswith(".")  # .ipynb_checkpoints is nobody's name
        }
        names = sorted({name for (name, _), paths in images.items() if paths})
        items = [
            Item(path, pid, parse_camera(Path(path).name), 0, modality, number)
            for pid, name in enumerate(names)
            for modality in (RGB, IR)
            for number, path in enumerate(images.get((name, modality), []), start=1)
        ]
        return items, names


def parse_camera(name: str) -> int:
    """The camera in a file name such as `c3_0001.jpg`; 0 where it has no such prefix."""
    found = _CAMERA.match(name)
    return int(found[1]) if found else 0
