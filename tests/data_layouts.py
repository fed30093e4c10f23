"""Tiny data sets in the official layouts, written by hand so that every count is known.

Fixtures with the functions' names are in tests/data/conftest.py; another folder's conftest.py makes the ones that it needs in the same way.
"""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from torchreid_rgbir.metrics import TestFeatures


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-4:]).encode()))
    Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)).save(path)


def write_permutations(path: Path, num_images: Mapping[tuple[int, int], int], num_ids: int) -> None:
    rng = np.random.default_rng(0)
    cameras = np.empty((6, 1), dtype=object)
    for camid in range(1, 7):
        cells = np.empty((num_ids, 1), dtype=object)
        for pid in range(1, num_ids + 1):
            table = np.tile(np.arange(1, num_images.get((camid, pid), 0) + 1, dtype=np.uint8), (10, 1))
            cells[pid - 1, 0] = rng.permuted(table, axis=1)
        cameras[camid - 1, 0] = cells
    savemat(path, {"rand_perm_cam": cameras})


def write_sysu(
    root: Path,
    train: Sequence[int] = (3, 7),
    val: Sequence[int] = (5,),
    test: Sequence[int] = (2, 9),
    num_images: int = 2,
    without: Sequence[tuple[int, int]] = (),
) -> Path:
    """SYSU-MM01 below `root`, `num_images` an identity and camera, none for the (camera, identity) pairs of `without`."""
    folder = root / "SYSU-MM01"
    held = {
        (camid, pid): num_images
        for camid in range(1, 7)
        for pid in (*train, *val, *test)
        if (camid, pid) not in without
    }
    for camid in range(1, 7):
        (folder / f"cam{camid}").mkdir(parents=True)
    for camid, pid in held:
        for number in range(1, num_images + 1):
            write_image(folder / f"cam{camid}" / f"{pid:04d}" / f"{number:04d}.jpg")
    (folder / "exp").mkdir()
    for name, ids in (("train", train), ("val", val), ("test", test)):
        (folder / "exp" / f"{name}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    write_permutations(folder / "exp" / "rand_perm_cam.mat", held, max((*train, *val, *test)))
    return folder


def write_regdb(root: Path, num_ids: int = 4, num_images: int = 3, splits: Sequence[int] = range(1, 11)) -> Path:
    """RegDB below `root`: split N trains on the identities with (pid + N) even; labels count from 0 in each half."""
    folder = root / "RegDB"
    (folder / "idx").mkdir(parents=True)
    for name in ("Visible", "Thermal"):
        for pid in range(1, num_ids + 1):
            for number in range(1, num_images + 1):
                write_image(folder / name / str(pid) / f"{name.lower()}_{number:05d}.bmp")
        for split in splits:
            for subset, parity in (("train", 0), ("test", 1)):
                pids = [pid for pid in range(1, num_ids + 1) if (pid + split) % 2 == parity]
                lines = [
                    f"{name}/{pid}/{name.lower()}_{number:05d}.bmp {label}"
                    for label, pid in enumerate(pids)
                    for number in range(1, num_images + 1)
                ]
                (folder / "idx" / f"{subset}_{name.lower()}_{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_llcm(root: Path, train: Sequence[int] = (4, 11), test: Sequence[int] = (3, 8), num_images: int = 2) -> Path:
    """LLCM below `root`, `num_images` an identity, camera and modality; training labels are 10 x the identity."""
    folder = root / "LLCM"
    (folder / "idx").mkdir(parents=True)
    for word, camids in (("vis", range(1, 10)), ("nir", (1, 2, 4, 5, 6, 7, 8, 9))):
        lines = []
        for camid in camids:
            for number in range(1, num_images + 1):
                for pid in train:
                    path = f"{word}/{pid:04d}/{pid:04d}_c{camid:02d}_s{number:06d}_f0001_{word}.jpg"
                    write_image(folder / path)
                    lines.append(f"{path} {10 * pid}")
                for pid in test:
                    name = f"{pid:04d}_c{camid:02d}_s{number:06d}_f0001_{word}.jpg"
                    write_image(folder / f"test_{word}" / f"cam{camid}" / f"{pid:04d}" / name)
        (folder / "idx" / f"train_{word}.txt").write_text("\n".join(lines) + "\n")
    (folder / "idx" / "test_id.txt").write_text(",".join(map(str, test)) + "\n")
    return folder


def write_folder(root: Path, train: Sequence[str], test: Sequence[str], files: Mapping[str, Sequence[str]]) -> Path:
    """`root/{train,test}/{rgb,ir}/ID/FILE`; files: names for "rgb" and for "ir"."""
    for subset, names in (("train", train), ("test", test)):
        for modality in ("rgb", "ir"):
            (root / subset / modality).mkdir(parents=True)
            for name in names:
                for file in files[modality]:
                    write_image(root / subset / modality / name / file)
    return root


def write_wide(root: Path, files: Mapping[str, Sequence[str]], num_parts: int = 3, height: int = 8) -> Path:
    """Wide images with parts of one color each (50, 100, 150) at `root/rgbir/SUBSET/FILE`; files: names for each subset."""
    for subset in ("bounding_box_train", "query", "bounding_box_test"):
        folder = root / "rgbir" / subset
        folder.mkdir(parents=True, exist_ok=True)
        for name in files.get(subset, ()):
            pixels = np.repeat(50 * np.arange(1, num_parts + 1, dtype=np.uint8), 2 * height)
            Image.fromarray(np.tile(pixels, (height, 1))).save(folder / name, quality=100)
    return root


def write_triples(root: Path, files: Mapping[str, Sequence[str]], spectra: Sequence[str]) -> Path:
    """`root/FOLDER/SPECTRUM/FILE` for every spectrum; files: names for each folder."""
    for folder, names in files.items():
        for spectrum in spectra:
            for name in names:
                write_image(root / folder / spectrum / name)
    return root


def random_features(dataset) -> TestFeatures:
    """Random features of every test image of a data set, in the form an extraction returns them."""
    items = [*dataset.query, *dataset.gallery]
    keys = ("pid", "camid", "modality", "number", "impath")
    pids, camids, modalities, numbers, paths = (np.array([getattr(i, key) for i in items]) for key in keys)
    features = np.random.default_rng(0).standard_normal((len(items), 6)).astype(np.float32)
    return TestFeatures(features, pids, camids, modalities, numbers, paths)


def perfect_features(dataset) -> TestFeatures:
    """Features of every test image of a data set that are equal for equal identities and orthogonal for others."""
    features = random_features(dataset)
    _, identity = np.unique(features.pids, return_inverse=True)
    return dataclasses.replace(features, features=np.eye(identity.max() + 1)[identity])


class Fails:
    """`with fails(ValueError, "part", ...)`: expects an exception of one line that contains every part."""

    def __init__(self, kind: type[Exception], *parts: object):
        self.kind, self.parts = kind, parts

    def __enter__(self):
        self.context = pytest.raises(self.kind)
        self.raised = self.context.__enter__()

    def __exit__(self, *exception):
        caught = self.context.__exit__(*exception)
        if caught:
            message = str(self.raised.value)
            assert "\n" not in message
            for part in self.parts:
                assert str(part) in message
        return caught
