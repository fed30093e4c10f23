"""SYSU-MM01 (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017), in its authors' layout."""

from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import parse_number, read_text, training_labels
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.sysu_mm01 import CAMERAS, SYSUMM01Protocol


class SYSUMM01(CrossModalImageDataset):
    """Reads cam1..cam6/0001..0533/0001.jpg... and exp/{train,val,test}_id.txt; training uses train + val identities.

    Args:
        root: the data set's folder, or the folder that contains it as SYSU-MM01.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a camera folder or an exp file is missing.
        ValueError: an id list cannot be read, or training and test share an identity.
    """

    folder = "SYSU-MM01"
    infrared = ("nir",)

    def __init__(self, root: str = "", **kwargs):
        ids = ("exp/train_id.txt", "exp/val_id.txt", "exp/test_id.txt")
        self.dataset_dir = find_folder(root, self.folder, [*(f"cam{camid}" for camid in CAMERAS), *ids])
        self.permutations = self.dataset_dir / "exp" / "rand_perm_cam.mat"
        train_ids, val_ids, test_ids = (read_ids(self.dataset_dir / name) for name in ids)
        shared = {*train_ids, *val_ids} & {*test_ids}
        if shared:
            raise ValueError(
                f"{self.dataset_dir / 'exp'}: identity {min(shared)} is in training and in test: use the official lists"
            )

        test = self._items(sorted({*test_ids}))
        self.test_paths = [item.impath for item in test]
        super().__init__(
            train=self._items(sorted({*train_ids, *val_ids}), is_training=True),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    @property
    def protocol(self) -> SYSUMM01Protocol:  # type: ignore[override]
        """The protocol with the set's own permutations; it refuses the official trials when test images are unreadable."""
        return SYSUMM01Protocol(
            self.permutations, unreadable=[path for path in self.test_paths if path in self.left_out]
        )

    def _items(self, pids: Sequence[int], is_training: bool = False) -> list[Item]:
        folders = [
            (pid, camid, list_images(f"{self.dataset_dir}/cam{camid}/{pid:04d}")) for pid in pids for camid in CAMERAS
        ]
        label = training_labels(pid for pid, _, paths in folders if paths) if is_training else {}
        return [
            Item(path, label.get(pid, pid), camid, 0, CAMERAS[camid], number)
            for pid, camid, paths in folders
            for number, path in enumerate(paths, start=1)
        ]


def read_ids(path: Path) -> list[int]:
    """Reads a list of identities: integers separated by commas.

    Raises:
        ValueError: the file contains something else.
    """
    words = read_text(path).replace(",", " ").split()
    for word in words:
        if not word.removeprefix("-").isdecimal():
            raise ValueError(
                f"{path} is not a list of identities: expected integers separated by commas, got {word[:40]!r}"
            )
    return [parse_number(word, str(path)) for word in words]
