"""A custom RGB-IR data set in folders: people, vehicles or anything else with identities."""

import os
import re
from collections import defaultdict
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.image_list import parse_number
from torchreid_rgbir.data.images import find_images
from torchreid_rgbir.files.paths import expand, normalize_name
from torchreid_rgbir.modality import IR, NAMES, RGB

_CAMERA = re.compile(r"c(\d+)_")
_JUNK = re.compile(r"-\d+")  # as in Market-1501, whose junk images have the label -1


class RGBIRFolder(CrossModalImageDataset):
    """Reads train/{rgb,ir}/ID/*.jpg and test/{rgb,ir}/ID/*.jpg. ID is any text; a file prefix `cN_` gives the camera, 0 = unknown.

    The identity is the first folder below the modality, and images in deeper folders belong to it. Links are followed once. Images in a
    folder with a negative number as its name (-1) are junk: neither training nor test uses them.

    Training and test identities are numbered separately, in the order of their names: training identity i is `train_names[i]` and test
    identity i is `test_names[i]`. A query ignores gallery images of its own identity and camera, so RGB and IR cameras need different
    numbers.

    Args:
        root: the folder that contains train/ and test/.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: one of the four folders is missing.
        ValueError: a folder contains no image of any identity.
    """

    def __init__(self, root: str = "", **kwargs):
        self.dataset_dir = expand(root)
        for subset in ("train", "test"):
            for name in NAMES:
                if not (self.dataset_dir / subset / name).is_dir():
                    raise FileNotFoundError(
                        f"{self.dataset_dir / subset / name} is missing: set data.root (--root) to the folder "
                        "that contains train/rgb, train/ir, test/rgb and test/ir, each with one folder per identity"
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
        images: dict[tuple[str, int], list[str]] = defaultdict(list)
        for modality, folder in enumerate(self.dataset_dir / subset / name for name in NAMES):
            for path in find_images(folder):
                name, *rest = Path(path).relative_to(folder).parts
                if rest:  # an image directly in the folder has no identity
                    images[normalize_name(name), modality].append(path)
        junk = {name for name, _ in images if is_junk(name)}
        names = sorted({name for name, _ in images} - junk)
        items = [
            Item(path, pid, parse_camera(path), 0, modality, number)
            for pid, name in [*enumerate(names), *((-1, name) for name in sorted(junk))]
            for modality in (RGB, IR)
            for number, path in enumerate(images.get((name, modality), []), start=1)
        ]
        return items, names


def is_junk(name: str) -> bool:
    """Whether a folder's name is a negative number, so that its images are junk."""
    return _JUNK.fullmatch(name) is not None


def parse_camera(path: str) -> int:
    """The camera in a file name such as `c3_0001.jpg`; 0 if there is no such prefix."""
    found = _CAMERA.match(os.path.basename(path))
    return parse_number(found[1], f"{path}, camera") if found else 0
