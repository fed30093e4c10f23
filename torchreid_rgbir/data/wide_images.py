"""RGBNT100 and RGBN300: vehicles in wide files, which hold the spectra of one moment side by side.

Source: Li et al., "Multi-Spectral Vehicle Re-Identification: A Challenge", AAAI 2020, and the authors' code
(ttaalle/multi-modal-vehicle-Re-ID).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.image_list import numbered, parse_number, relabeled
from torchreid_rgbir.data.images import list_images, part_path
from torchreid_rgbir.data.spectra import SPECTRA, choose
from torchreid_rgbir.files.paths import expand
from torchreid_rgbir.metrics.features import BOTH_ROLES, GALLERY_ONLY, QUERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol

NAME = re.compile(r"(\d+)_c(\d+)_.*", re.DOTALL)  # 0502_c0001_000.jpg: identity, camera, number
SUBSETS = ("bounding_box_train", "query", "bounding_box_test")


class WideImages(CrossModalImageDataset):
    """Reads {bounding_box_train,query,bounding_box_test}/0502_c0001_000.jpg. Each file is one RGB image and one IR image.

    The images of query/ are the queries and those of bounding_box_test/ the gallery, in both directions. The files' parts are RGB, near
    infrared and, in RGBNT100, thermal infrared, from left to right.

    Args:
        root: the folder with the three folders, or one that contains it (`folders`).
        ir: "nir" or "tir", the spectrum of the IR images. None takes that of `data.spectra.infrared`.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: the set has no images of this spectrum, or a file has an unexpected name.
    """

    folders: tuple[str, ...]  # where the three folders are, below `data.root`; public copies differ

    def __init__(self, root: str = "", ir: str | None = None, **kwargs):
        self.ir = choose(ir, self.infrared, self.folder)
        self.dataset_dir = self._find(root)
        self.protocol = BothDirectionsProtocol(self.ir)
        train, query, gallery = (
            numbered(self._items(subset, role))
            for subset, role in zip(SUBSETS, (BOTH_ROLES, QUERY_ONLY, GALLERY_ONLY), strict=True)
        )
        test = [*query, *gallery]
        super().__init__(
            train=relabeled(train),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _find(self, root: str) -> Path:
        top = expand(root)
        for folder in (top, *(top / name for name in self.folders)):
            if all((folder / subset).is_dir() for subset in SUBSETS):
                return folder
        raise FileNotFoundError(
            f"{top / self.folders[0] / SUBSETS[0]} is missing: set data.root (--root) to the folder of {self.folder}, "
            f"which contains {', '.join(SUBSETS)}, directly or in rgbir/"
        )

    def _items(self, subset: str, role: int) -> Iterator[Item]:
        num_parts = 1 + len(self.infrared)
        for file in list_images(self.dataset_dir / subset):
            found = NAME.fullmatch(Path(file).name)
            if not found:
                raise ValueError(
                    f"{file}: expected a name such as 0502_c0001_000.jpg, with identity and camera: rename it"
                )
            pid, camid = (parse_number(digits, file) for digits in found.groups())
            for modality, part in ((RGB, 1), (IR, 2 + SPECTRA.index(self.ir))):
                yield Item(part_path(file, part, num_parts), pid, camid, 0, modality, 0, role=role)


class RGBNT100(WideImages):
    """100 vehicles in RGB, near and thermal infrared; eight cameras."""

    folder = "RGBNT100"
    infrared = SPECTRA
    folders = ("RGBNT100/rgbir", "RGBNT100", "rgbir", "rgbirt")


class RGBN300(WideImages):
    """300 vehicles in RGB and near infrared; eight cameras."""

    folder = "RGBN300"
    folders = ("RGBN300/rgbir", "RGBNT300/rgbir", "RGBN300", "RGBNT300", "rgbir")
    infrared = ("nir",)
