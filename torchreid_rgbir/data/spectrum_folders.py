"""MSVR310 and RGBNT201: each of the three spectra has a folder, and the files of a triple have the same name.

Sources: MSVR310: Zheng et al., arXiv 2208.00632, and the authors' code (superlollipop123/Cross-directional-Center-Network-and-MSVR310).
RGBNT201: Zheng et al., "Robust Multi-Modality Person Re-identification", AAAI 2021, and the code of ziwang1121/IEEE.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import numbered, parse_number, relabeled
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.data.spectra import SPECTRA, choose
from torchreid_rgbir.metrics.features import BOTH_ROLES, GALLERY_ONLY, QUERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol, MSVR310Protocol


class SpectrumFolders(CrossModalImageDataset):
    """A data set whose images come in triples: one file of the same name for each spectrum.

    A triple that lacks a spectrum is skipped, even if `ir` does not select it. "nir" and "tir" thus have the same
    triples.

    Args:
        root: the data set's folder, or the folder that contains it.
        ir: "nir" or "tir", the spectrum of the IR images. None takes that of `data.spectra.infrared`.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a file has an unexpected name.
    """

    infrared = SPECTRA
    spectra: tuple[str, str, str]  # the folders of RGB, near and thermal infrared
    name: re.Pattern  # of a file; its groups are the identity and what the protocol compares, a camera or a scene
    example: str
    subsets: tuple[str, ...]  # the folders for training, query and gallery
    protocol_class: type[BothDirectionsProtocol] = BothDirectionsProtocol

    def __init__(self, root: str = "", ir: str | None = None, **kwargs):
        self.ir = choose(ir, self.infrared, self.folder)
        self.dataset_dir = find_folder(root, self.folder, self.subsets)
        self.protocol = self.protocol_class(self.ir)
        self.skipped: list[str] = []
        train_folder, query_folder, gallery_folder = self.subsets
        train = numbered(self._items(train_folder, BOTH_ROLES))
        if query_folder == gallery_folder:
            test = numbered(self._items(query_folder, BOTH_ROLES))
        else:
            test = [
                *numbered(self._items(query_folder, QUERY_ONLY)),
                *numbered(self._items(gallery_folder, GALLERY_ONLY)),
            ]
        super().__init__(
            train=relabeled(train),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _places(self, subset: Path) -> Iterable[Path]:
        """The folders that contain the folders of the spectra."""
        return [subset]

    def _items(self, subset: str, role: int) -> Iterator[Item]:
        for place in self._places(self.dataset_dir / subset):
            files = [{Path(path).name: path for path in list_images(place / spectrum)} for spectrum in self.spectra]
            for name in sorted({*files[0], *files[1], *files[2]}):
                missing = [spectrum for spectrum, found in zip(self.spectra, files, strict=True) if name not in found]
                if missing:
                    self.skipped.append(
                        f"{place.relative_to(self.dataset_dir)}/*/{name}: {' and '.join(missing)} missing"
                    )
                    continue
                found = self.name.fullmatch(name)
                if not found:
                    raise ValueError(f"{files[0][name]}: expected a name such as {self.example}: rename the file")
                pid, camid = (parse_number(digits, files[0][name]) for digits in found.groups())
                for modality, images in ((RGB, files[0]), (IR, files[1 + SPECTRA.index(self.ir)])):
                    yield Item(images[name], pid, camid, 0, modality, 0, role=role)


class MSVR310(SpectrumFolders):
    """Reads {bounding_box_train,query3,bounding_box_test}/0002/{vis,ni,th}/0002_s002_v0_000.jpg: vehicles.

    The cameras of the items are the scenes (`s002`), because MSVR310's protocol compares scenes. It does not use the views (`v0`).
    """

    folder = "MSVR310"
    spectra = ("vis", "ni", "th")
    name = re.compile(r"(\d+)_s(\d+)_v\d+_\d+\.\w+")
    example = "0002_s002_v0_000.jpg"
    subsets = ("bounding_box_train", "query3", "bounding_box_test")
    protocol_class = MSVR310Protocol

    def _places(self, subset: Path) -> Iterable[Path]:
        return sorted(folder for folder in subset.iterdir() if folder.is_dir())


class RGBNT201(SpectrumFolders):
    """Reads {train_171,test}/{RGB,NI,TI}/000258_cam1_0_00.jpg: people. Every test image is a query and a gallery image."""

    folder = "RGBNT201"
    spectra = ("RGB", "NI", "TI")
    name = re.compile(r"(\d+)_cam(\d+)_\d+_\d+\.\w+")
    example = "000028_cam1_0_02.jpg"
    subsets = ("train_171", "test", "test")
