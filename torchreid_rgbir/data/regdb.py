"""RegDB (Nguyen et al., "Person Recognition System Based on a Combination of Body Images from Visible Light and Thermal Cameras", Sensors 2017)."""

from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import numbered, read_image_list, relabeled
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.regdb import NAMES, NUM_SPLITS, RegDBProtocol

CAMERAS = {RGB: 1, IR: 2}


class RegDB(CrossModalImageDataset):
    """Reads Visible/, Thermal/ and idx/{train,test}_{visible,thermal}_{1..10}.txt with lines `path label`. Camera 1 is visible, 2 thermal.

    Each split trains a separate model on half of the identities and tests it on the other half. Labels are
    numbers within a half and may repeat in the other half.

    Args:
        root: the data set's folder, or the folder that contains it as RegDB.
        split_id: 0-9 for the official splits 1-10.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a folder, a list or a listed image is missing.
        ValueError: the split does not exist, a list is malformed, or training and test share an image.
    """

    folder = "RegDB"
    infrared = ("tir",)

    def __init__(self, root: str = "", split_id: int = 0, **kwargs):
        self.dataset_dir = find_folder(root, self.folder, ["idx", "Visible", "Thermal"])
        splits = list_splits(self.dataset_dir)
        self.split = split_id + 1
        if self.split not in splits:
            raise ValueError(
                f"{self.dataset_dir / 'idx'} has no split {self.split} (data.split_id {split_id}): "
                f"set data.split_id to one of {', '.join(str(split - 1) for split in splits) or '0-9 and get the official lists'}"
            )

        self.protocol = RegDBProtocol(self.split)
        train, test = self._items("train"), self._items("test")
        shared = {item.impath for item in train} & {item.impath for item in test}
        if shared:
            raise ValueError(
                f"{min(shared)} is in training and in test of split {self.split}: use the official lists of {self.folder}"
            )
        super().__init__(
            train=relabeled(train),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _items(self, subset: str) -> list[Item]:
        return numbered(
            Item(path, pid, CAMERAS[modality], 0, modality, 0)
            for modality, name in NAMES.items()
            for path, pid in read_image_list(
                self.dataset_dir / "idx" / f"{subset}_{name}_{self.split}.txt", self.dataset_dir
            )
        )


def list_splits(folder: Path) -> list[int]:
    """The official splits (1-10) with at least one list in RegDB's folder."""
    return [split for split in range(1, NUM_SPLITS + 1) if any((folder / "idx").glob(f"*_{split}.txt"))]
