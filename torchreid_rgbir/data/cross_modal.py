"""The cross-modal data set: torchreid's ImageDataset whose items know their modality."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from torch.utils.data import default_collate

from torchreid_rgbir import host
from torchreid_rgbir.data.cache import DecodedImages
from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.metrics import Rerank, TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import standard


class Item(NamedTuple):
    """One image. torchreid reads it as its own tuple (impath, pid, camid, dsetid)."""

    impath: str
    pid: int
    camid: int  # as the data set numbers its cameras
    dsetid: int
    modality: int
    number: int  # 1-based place of the image in the sorted list of its camera and identity


class CrossModalImageDataset(host.data.ImageDataset):
    """A data set with RGB and IR images.

    `query` holds all test images of one modality and `gallery` all of the other: a protocol draws its trials from their features.

    Args:
        train, query, gallery: lists of Item; training pids are relabeled 0..N-1, test pids are the data set's own.
        **kwargs: torchreid's (transform, k_tfm, mode, combineall, verbose, ...).

    Raises:
        ValueError: one of the lists is empty.
    """

    folder = ""  # the data set's official folder name, below data.root
    dataset_dir = Path()  # what the doctor names images by
    protocol: ModuleType = standard  # of torchreid_rgbir.metrics
    version = ""  # of the data themselves, where scores on one are not comparable with scores on another
    train: list[Item]
    num_train_pids: int
    cache: DecodedImages | None = None  # in the place of reading and transforming images
    left_out: dict[str, str] = {}  # images that cannot be read, by path, with `data.skip_broken`

    def __init__(self, train: Sequence[Item], query: Sequence[Item], gallery: Sequence[Item], **kwargs):
        for name, items in (("training", train), ("query", query), ("gallery", gallery)):
            if not items:
                raise ValueError(
                    f"{type(self).__name__}: no {name} images found: check the folder with `torchreid-rgbir doctor`"
                )
        super().__init__(list(train), list(query), list(gallery), **kwargs)

    def score(
        self, features: TestFeatures, query: str, distance: str, sampling: str, rerank: Rerank | None = None
    ) -> list[dict]:
        """Scores extracted test features under the data set's protocol.

        Args:
            features: of every image of `query` and `gallery`.
            query: "ir" or "rgb", the modality that asks.
            distance: "cosine" or "euclidean".
            sampling: how galleries are drawn, where the protocol leaves a choice.
            rerank: adds each setting once more, re-ranked.

        Returns:
            One dict a setting, as results.json holds them; the first is the headline.
        """
        # Only SYSU-MM01 leaves a choice in `sampling`.
        return self.protocol.report(features, query=query, distance=distance, rerank=rerank)

    def check_protocol(self, query: str, sampling: str) -> None:
        """Draws every gallery once, for features that say nothing: what would fail in the test fails before the training.

        Raises:
            FileNotFoundError, ValueError: as `score`.
        """
        _, pids, camids, _, modalities, numbers = (
            np.array(column) for column in zip(*self.query, *self.gallery, strict=True)
        )
        features = np.zeros((len(pids), 1), np.float32)
        self.score(TestFeatures(features, pids, camids, modalities, numbers), query, "euclidean", sampling)

    def __getitem__(self, index: int) -> dict:
        item = Item(*self.data[index])
        if self.cache is not None:
            return {"img": self.cache[item.impath], **item._asdict()}
        img = read_image(item.impath)
        if self.transform is not None:
            img = self._transform_image(self.transform, self.k_tfm, img)
        return {"img": img, **item._asdict()}

    def __getitems__(self, indices: Sequence[int]) -> list[dict] | dict:
        """What torch's loaders ask for: the batch's samples, or, from the cache, the batch itself."""
        if self.cache is None:
            return [self[index] for index in indices]
        items = [Item(*self.data[index]) for index in indices]
        images = self.cache.batch([item.impath for item in items])
        return {"img": images, **default_collate([item._asdict() for item in items])}

    def __add__(self, other: "CrossModalImageDataset") -> "CrossModalImageDataset":
        """The union of two training sets; query and gallery stay this one's, as in torchreid.

        Raises:
            ValueError: the other set has images of one modality.
        """
        if not isinstance(other, CrossModalImageDataset):
            raise ValueError(
                f"{type(other).__name__} has images of one modality and cannot join {type(self).__name__}: choose cross-modal sources"
            )
        num_cameras = max(item.camid for item in self.train)
        shifted = [
            item._replace(
                pid=item.pid + self.num_train_pids,
                camid=item.camid and item.camid + num_cameras,  # 0, unknown, stays unknown
                dsetid=item.dsetid + self.num_datasets,
            )
            for item in other.train
        ]
        # torchreid's own __add__ returns a plain ImageDataset, whose items have no modality.
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
        label = {
            pid: i
            for i, pid in enumerate(sorted({item.pid for item in (*self.query, *self.gallery)}), self.num_train_pids)
        }
        self.train = [*self.train, *(item._replace(pid=label[item.pid]) for item in (*self.query, *self.gallery))]
        self.num_train_pids = self.get_num_pids(self.train)

    def show_summary(self) -> None:
        print(f"=> Loaded {type(self).__name__}")
        print("  subset   |  ids | RGB images | IR images | cameras")
        for name in ("train", "query", "gallery"):
            items = getattr(self, name)
            num_rgb, num_ir = (sum(item.modality == modality for item in items) for modality in (RGB, IR))
            print(
                f"  {name:<8} | {self.get_num_pids(items):>4} | {num_rgb:>10} | {num_ir:>9} | {self.get_num_cams(items):>7}"
            )


def find_folder(root: str, name: str, needed: Sequence[str]) -> Path:
    """The data set's folder: `root` itself, or `name` in it.

    Args:
        root: `data.root`.
        name: the official folder name.
        needed: files and folders, relative to the data set's folder, without which it is none.

    Raises:
        FileNotFoundError: neither has the layout; names the first thing missing.
    """
    top = Path(root).expanduser().absolute()
    if not top.is_dir():
        raise FileNotFoundError(f"{top} is not a folder: set data.root (--root) to the folder that holds {name}/")
    folder = top / name if (top / name).is_dir() else top
    missing = [entry for entry in needed if not (folder / entry).exists()]
    if missing:
        raise FileNotFoundError(
            f"{folder / missing[0]} is missing: set data.root (--root) to the folder of {name}, which holds {', '.join(needed)}"
        )
    return folder
