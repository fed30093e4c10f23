"""LLCM (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark", CVPR 2023), in its authors' layout."""

import os
import re

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import numbered, parse_number, read_image_list, relabeled
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.data.sysu_mm01 import read_ids
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.llcm import CAMERAS, NAMES, LLCMProtocol

_FOLDER_CAMERA = re.compile(r"(?:^|/)cam(\d+)/")
_FILE_CAMERA = re.compile(r"_c(\d+)_[^/]*$")  # the official training images, vis/0001/0001_c05_s12_f34_vis.jpg


class LLCM(CrossModalImageDataset):
    """Reads idx/train_{vis,nir}.txt (lines `path label`), idx/test_id.txt and test_{vis,nir}/cam1..cam9/0001/*.jpg.

    Every camera but 3 has both modalities.

    Args:
        root: the data set's folder, or the folder that contains it as LLCM.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a folder, a list or a listed image is missing.
        ValueError: a list is malformed, or training and test share an identity.
    """

    folder = "LLCM"
    infrared = ("nir",)
    protocol = LLCMProtocol()

    def __init__(self, root: str = "", **kwargs):
        needed = ["idx/train_vis.txt", "idx/train_nir.txt", "idx/test_id.txt", "test_vis", "test_nir"]
        self.dataset_dir = find_folder(root, self.folder, needed)
        test_ids = sorted({*read_ids(self.dataset_dir / "idx" / "test_id.txt")})
        train = self._train_items()
        # Labels may be relabeled numbers, but the folder of an image always has the number of the identity.
        shared = {os.path.basename(os.path.dirname(item.impath)) for item in train} & {f"{pid:04d}" for pid in test_ids}
        if shared:
            raise ValueError(
                f"{self.dataset_dir / 'idx'}: identity {min(shared)} is in training and in test: use the official lists"
            )

        test = [
            Item(path, pid, camid, 0, modality, number)
            for pid in test_ids
            for modality, camids in CAMERAS.items()
            for camid in camids
            for number, path in enumerate(
                list_images(self.dataset_dir / f"test_{NAMES[modality]}" / f"cam{camid}" / f"{pid:04d}"), start=1
            )
        ]
        super().__init__(
            train=relabeled(train),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _train_items(self) -> list[Item]:
        return numbered(
            Item(path, pid, parse_camera(os.path.relpath(path, self.dataset_dir)), 0, modality, 0)
            for modality, name in NAMES.items()
            for path, pid in read_image_list(self.dataset_dir / "idx" / f"train_{name}.txt", self.dataset_dir)
        )


def parse_camera(path: str) -> int:
    """The camera of an image, from its camN folder or from the file name (`_c05_`); 0 if neither has it."""
    found = _FOLDER_CAMERA.search(path) or _FILE_CAMERA.search(path)
    return parse_number(found[1], f"{path}, camera") if found else 0
