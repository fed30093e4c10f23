"""The test images of a corrupted test: a random corruption of a random level for each image.

The choice follows Chen, Wang and Zheng ("Benchmarks for Corruption Invariant Person Re-identification", NeurIPS 2021, Datasets and
Benchmarks) for RGB images, and Josi et al. ("Fusion for Visual-Infrared Person ReID in Real-World Surveillance Using Corrupted
Multimodal Data", arXiv 2305.00320) for IR images.
"""

from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.random import Generator
from PIL import Image
from torch.utils.data import Dataset

from torchreid_rgbir.data.corruptions import CORRUPTIONS, corrupt
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.modality import IR, NAMES

LONG_SIDE, SHORT_SIDE = 288, 144  # pixels; images are corrupted at this size, whatever size the network has
NONE = "none"  # leaves the image as it is
# An IR image has no colors to saturate. Its list is as long as that of RGB images.
KINDS_OF_IR = (*(name for name in CORRUPTIONS if name != "saturate"), NONE)
KINDS = {modality: KINDS_OF_IR if modality == IR else tuple(CORRUPTIONS) for modality in range(len(NAMES))}


class Corruption(NamedTuple):
    """Which images of a test are corrupted, and how often the test is repeated with other corruptions.

    Attributes:
        images: "rgb", "ir" or "both".
        seed: of the corruptions. It does not depend on the seed of a training.
        repeats: number of repetitions.
    """

    images: str
    seed: int
    repeats: int

    def includes(self, modality: int) -> bool:
        """Whether the images of a modality are corrupted."""
        return self.images in ("both", NAMES[modality])


class CorruptedImages(Dataset):
    """Reads the images of a test set and corrupts them. Everything else is as in the data set.

    The corruption of an image depends only on the seed, the repetition, the name of its file and its labels. It is therefore the
    same for every method, and with any number of workers and processes.

    Args:
        dataset: the test set, for queries or for gallery images.
        seed: of the corruptions.
        repetition: other numbers corrupt the images in other ways.
    """

    def __init__(self, dataset: CrossModalImageDataset, seed: int, repetition: int):
        self.dataset, self.seed, self.repetition = dataset, seed, repetition
        self.data = dataset.data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = Item(*self.data[index])
        image = read_image(item.impath, self.dataset.ir_range)
        size = (SHORT_SIDE, LONG_SIDE) if image.height >= image.width else (LONG_SIDE, SHORT_SIDE)
        image = image.resize(size, Image.Resampling.BILINEAR)
        name, level, rng = choose(item, self.seed, self.repetition)
        if name != NONE:
            image = corrupt(image.convert("L") if item.modality == IR else image, name, level, rng).convert("RGB")
        return {"img": self.dataset.transform(image), **item._asdict()}


def choose(item: Item, seed: int, repetition: int) -> tuple[str, int, Generator]:
    """The corruption of an image, its level from 1 to 5, and the generator for everything else that is random in it."""
    path = Path(item.impath)
    label = f"{path.parent.name}/{path.name} {item.pid} {item.camid} {item.modality}"
    rng = np.random.default_rng([seed, repetition, crc32(label.encode(errors="surrogateescape"))])
    kinds = KINDS[item.modality]
    return kinds[rng.integers(len(kinds))], int(rng.integers(1, 6)), rng
