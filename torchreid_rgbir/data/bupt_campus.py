"""BUPTCampus (Du et al., "Video-Based Visible-Infrared Person Re-Identification With Auxiliary Samples", TIFS 2024).

Source: the authors' code and description (dyhBUPT/BUPTCampus).
"""

import json
from collections.abc import Iterator
from pathlib import Path

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import numbered, parse_number, read_text, relabeled
from torchreid_rgbir.metrics.features import BOTH_ROLES, GALLERY_ONLY, QUERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BUPTCampusProtocol

CAMERAS = {
    "LS3": 1,
    "G25": 2,
    "CQ1": 3,
    "W4": 4,
    "TSG1": 5,
    "TSG2": 6,
}  # the authors count from 0, which is unknown here
MODALITIES = {"RGB": RGB, "IR": IR}


class BUPTCampus(CrossModalImageDataset):
    """Reads DATA/1/{RGB,IR}/CQ1/*.jpg, data_paths.json, train.txt, query.txt and gallery.txt. The protocol scores tracks.

    The auxiliary training set and the generated images (FakeIR) are not used.

    Args:
        root: the data set's folder, which contains DATA/, or DATA/ itself, or the folder that contains it as BUPTCampus.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a list, or the first image of a track, is missing.
        ValueError: a list is malformed, or lists a track that data_paths.json does not have.
    """

    folder = "BUPTCampus"
    protocol = BUPTCampusProtocol()

    def __init__(self, root: str = "", **kwargs):
        top = find_folder(root, self.folder, [])
        top = top.parent if top.name == "DATA" else top
        self.dataset_dir = find_folder(
            str(top), self.folder, ["DATA", "data_paths.json", "train.txt", "query.txt", "gallery.txt"]
        )
        path = self.dataset_dir / "data_paths.json"
        try:
            self.paths = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON ({error}): download the data set's file again") from None
        train = numbered(self._items("train.txt", BOTH_ROLES))
        test = [*numbered(self._items("query.txt", QUERY_ONLY)), *numbered(self._items("gallery.txt", GALLERY_ONLY))]
        del self.paths
        super().__init__(
            train=relabeled(train),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _items(self, name: str, role: int) -> Iterator[Item]:
        path = self.dataset_dir / name
        for number, line in enumerate(filter(str.strip, read_text(path).splitlines()), start=1):
            where = f"{path}, line {number}"
            words = line.split()
            modalities = words[1].split("/") if len(words) == 4 else []
            if (
                not modalities
                or not words[0].isdecimal()
                or not {*modalities} <= {*MODALITIES}
                or words[2] not in CAMERAS
            ):
                raise ValueError(
                    f"{where}: expected identity, RGB or IR or RGB/IR, a camera ({', '.join(CAMERAS)}) and a track, "
                    f"got {line[:60]!r}: get the official lists"
                )
            pid, _, camera, track = words
            for modality in modalities:
                frames = self._frames(pid, modality, camera, track, where)
                if not Path(frames[0]).is_file():
                    raise FileNotFoundError(
                        f"{frames[0]} is missing, the first frame of {where}: unpack the data set again"
                    )
                for frame in frames:
                    ids = parse_number(pid, where), CAMERAS[camera]
                    yield Item(frame, *ids, 0, MODALITIES[modality], 0, number, role)

    def _frames(self, pid: str, modality: str, camera: str, track: str, where: str) -> list[str]:
        try:
            frames = [str(self.dataset_dir / "DATA" / name) for name in self.paths[pid][modality][camera][track]]
        except (KeyError, TypeError):
            frames = []
        if not frames:
            raise ValueError(
                f"{where}: data_paths.json has no frames of {pid}, {modality}, {camera}, {track}: get the official files"
            )
        return frames
