"""The cross-modal data set: torchreid's ImageDataset with a modality in each item."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import default_collate

from torchreid_rgbir import host
from torchreid_rgbir.data.cache import DecodedImages
from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.files.paths import expand
from torchreid_rgbir.metrics.features import BOTH_ROLES, GALLERY_ONLY, QUERY_ONLY, TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import Protocol, StandardProtocol


class Item(NamedTuple):
    """One image. torchreid reads the first four fields, which are its own tuple."""

    impath: str
    pid: int
    camid: int  # as the data set numbers its cameras
    dsetid: int
    modality: int
    number: int  # 1-based place of the image in the sorted list of its camera and identity
    track: int = 0  # number of the image's track; 0: the image is no frame of a track
    role: int = BOTH_ROLES  # in the test: query and gallery image, QUERY_ONLY or GALLERY_ONLY


class CrossModalImageDataset(host.data.ImageDataset):
    """A data set with RGB and IR images.

    `query` holds all test images of one modality and `gallery` all of the other. The protocol draws its trials from them, and
    scores both directions if it has both. If queries and gallery images are different images in both modalities, the items' roles
    tell them apart.

    The data manager constructs a data set once and copies it for the modes train, query and gallery.

    Args:
        train, query, gallery: the images; training pids are relabeled 0..N-1, test pids are those of the data set.
        **kwargs: for torchreid's ImageDataset (transform, k_tfm, mode, combineall, verbose, ...).

    Raises:
        ValueError: one of the lists is empty.
    """

    folder = ""  # the data set's official folder name, below data.root
    dataset_dir = Path()  # the doctor shows paths relative to it
    infrared: tuple[str, ...] = ()  # the infrared spectra that it has, "nir" or "tir" or both; empty: not known
    protocol: Protocol = StandardProtocol()  # scores the features of the test images
    version = ""  # of the data themselves; scores on different versions are not comparable
    train: list[Item]
    num_train_pids: int
    ir_range = "auto"  # how gray images of more than 8 bits are read; see `data.images.parse_ir_range`
    cache: DecodedImages | None = None  # replaces reading and transforming images
    left_out: dict[str, str] = {}  # with `data.skip_broken`: path of an image that cannot be read -> why
    skipped: Sequence[str] = ()  # what the data set holds and no list uses, and why, in words

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__dict__.get("protocol"), ModuleType) or {"score", "check_protocol"} & set(cls.__dict__):
            raise ValueError(
                f"{cls.__name__} is written for version 0.1, where data sets scored themselves: remove score and check_protocol, "
                "and set protocol to an object such as torchreid_rgbir.protocols.LLCMProtocol()"
            )

    def __init__(self, train: Sequence[Item], query: Sequence[Item], gallery: Sequence[Item], **kwargs):
        self.junk = [item for item in train if item.pid < 0]  # with negative labels: training does not use them
        train = [item for item in train if item.pid >= 0]
        for name, items in (("training", train), ("query", query), ("gallery", gallery)):
            if not items:
                raise ValueError(
                    f"{type(self).__name__}: no {name} images found: check the folder with `torchreid-rgbir doctor`"
                )
        super().__init__(train, list(query), list(gallery), **kwargs)

    # torchreid's own methods take several times as long.
    def get_num_pids(self, data: Sequence[Item]) -> int:
        return len({item.pid for item in data})

    def get_num_cams(self, data: Sequence[Item]) -> int:
        return len({item.camid for item in data})

    def get_num_datasets(self, data: Sequence[Item]) -> int:
        return len({item.dsetid for item in data})

    def test_labels(self) -> TestFeatures:
        """The labels of every test image, for `protocol.check`; the features have no columns."""
        items = [*self.query, *self.gallery]
        return with_labels(np.zeros((len(items), 0), np.float32), items)

    def __getitem__(self, index: int) -> dict:
        item = Item(*self.data[index])
        if self.cache is not None:
            return {"img": self.cache[item.impath], **item._asdict()}
        img = read_image(item.impath, self.ir_range)
        if self.transform is not None:
            img = self._transform_image(self.transform, self.k_tfm, img)
        return {"img": img, **item._asdict()}

    def __getitems__(self, indices: Sequence[int]) -> list[dict] | dict:
        """Called by torch's loaders: returns the samples of a batch, or the collated batch if there is a cache."""
        if self.cache is None:
            return [self[index] for index in indices]
        items = [Item(*self.data[index]) for index in indices]
        images = self.cache.batch([item.impath for item in items])
        return {"img": images, **default_collate([item._asdict() for item in items])}

    def __add__(self, other: "CrossModalImageDataset") -> "CrossModalImageDataset":
        """Joins two training sets. Query and gallery are those of the first, as in torchreid.

        Raises:
            ValueError: the other set has no modalities.
        """
        if not isinstance(other, CrossModalImageDataset):
            raise ValueError(
                f"{type(other).__name__} has one modality and cannot be joined with {type(self).__name__}: "
                "choose cross-modal data.sources"
            )
        num_cameras = max(item.camid for item in self.train)
        shifted = [
            item._replace(
                pid=item.pid + self.num_train_pids,
                camid=item.camid and item.camid + num_cameras,  # 0 (unknown) stays 0
                dsetid=item.dsetid + self.num_datasets,
            )
            for item in other.train
        ]
        # torchreid's __add__ returns a plain ImageDataset, whose items have no modality.
        return CrossModalImageDataset(
            [*self.train, *shifted],
            self.query,
            self.gallery,
            transform=self.transform,
            k_tfm=self.k_tfm,
            mode=self.mode,
            verbose=False,
        )

    def combine_all(self) -> None:
        """Adds the test images to the training set (`data.combineall`)."""
        added = [item for item in (*self.query, *self.gallery) if item.pid >= 0]
        label = {pid: i for i, pid in enumerate(sorted({item.pid for item in added}), self.num_train_pids)}
        self.train = [*self.train, *(item._replace(pid=label[item.pid]) for item in added)]
        self.num_train_pids = self.get_num_pids(self.train)

    def show_summary(self) -> None:
        print(f"=> Loaded {type(self).__name__}")
        print("  subset   |  ids | RGB images | IR images | cameras")
        test = [*self.query, *self.gallery]
        for name, items in (
            ("train", self.train),
            ("query", [item for item in test if item.role == QUERY_ONLY] or self.query),
            ("gallery", [item for item in test if item.role == GALLERY_ONLY] or self.gallery),
        ):
            num_rgb, num_ir = (sum(item.modality == modality for item in items) for modality in (RGB, IR))
            print(
                f"  {name:<8} | {self.get_num_pids(items):>4} | {num_rgb:>10} | {num_ir:>9} | {self.get_num_cams(items):>7}"
            )
        if self.junk:
            print(f"  {len(self.junk)} training images have negative labels, which mark junk, and are not used")
        if self.skipped:
            print(f"  {len(self.skipped)} skipped, such as {self.skipped[0]}")


def with_labels(features: NDArray[np.floating], items: Sequence[Item]) -> TestFeatures:
    """The features (N, D) of test images with the images' labels. Tracks and roles are None if no image has one."""
    impaths, pids, camids, _, modalities, numbers, tracks, roles = (
        np.array(column) for column in zip(*items, strict=True)
    )
    return TestFeatures(
        features,
        pids,
        camids,
        modalities,
        numbers,
        impaths,
        tracks if tracks.any() else None,
        roles if roles.any() else None,
    )


def find_folder(root: str, name: str, needed: Sequence[str]) -> Path:
    """Finds the data set's folder: `root` itself, or `name` in it.

    Args:
        root: `data.root`.
        name: the official folder name.
        needed: files and folders that the data set's folder must contain.

    Raises:
        FileNotFoundError: a needed file or folder is missing. The message names the first.
    """
    top = expand(root)
    if not top.is_dir():
        raise FileNotFoundError(f"{top} is not a folder: set data.root (--root) to the folder that contains {name}/")
    folder = top / name if (top / name).is_dir() else top
    missing = [entry for entry in needed if not (folder / entry).exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder / missing[0]} is missing: set data.root (--root) to the folder of {name}, "
            f"which contains {', '.join(needed)}"
        )
    return folder
