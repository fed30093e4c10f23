"""HITSZ-VCM (Lin et al., "Learning Modal-Invariant and Temporal-Memory for Video-Based Visible-Infrared Person Re-Identification", CVPR 2022).

Sources: the authors' description (VCM-project233/HITSZ-VCM-data) and code (VCM-project233/MITML).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.image_list import numbered, parse_number, read_text, relabeled
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol

LISTS = ("train_name.txt", "track_train_info.txt", "test_name.txt", "track_test_info.txt", "query_IDX.txt")
NAME = re.compile(r"(\d{4})M(\d)D(\d+)T\d+F(.+)")  # 0001M2D3T1F1.jpg: identity, modality, folder, track, file
MODALITIES = {1: IR, 2: RGB}
MIN_FRAMES = 12  # shorter tracks are skipped, in training and test, by default of the authors' code and M3-ReID's
ADVICE = "get the official lists"


class Track(NamedTuple):
    """A line of a track list."""

    number: int  # of the line
    modality: int
    frames: list[str]  # paths
    pid: int
    camid: int


class HITSZVCM(CrossModalImageDataset):
    """Reads 0001/{ir,rgb}/D1/1.jpg and five lists of names and tracks. Test images are frames, and the protocol scores tracks.

    The lists are in info/ or beside the identities. The identities are in the data set's folder, in data/, or in Train/ and Test/.

    Args:
        root: the data set's folder, or the folder that contains it as HITSZ-VCM.
        **kwargs: for torchreid's ImageDataset.

    Raises:
        FileNotFoundError: a list, or the first image of a track, is missing.
        ValueError: a list is malformed, or a track has frames that the list of names lacks.
    """

    folder = "HITSZ-VCM"
    protocol = BothDirectionsProtocol()

    def __init__(self, root: str = "", **kwargs):
        top = find_folder(root, self.folder, [])
        self.dataset_dir = top / "data" if (top / "data").is_dir() else top
        self.lists = next(
            (path for path in (self.dataset_dir / "info", top / "info") if path.is_dir()), self.dataset_dir
        )
        for name in LISTS:
            if not (self.lists / name).is_file():
                raise FileNotFoundError(
                    f"{self.lists / name} is missing: set data.root (--root) to the folder of {self.folder}, which contains "
                    f"{', '.join(LISTS)}, directly or in info/"
                )
        self.skipped: list[str] = []
        train = [item for track in self._tracks("train") for item in _items(track)]
        queries = {int(word) for word in _numbers(self.lists / "query_IDX.txt")}
        test = []
        for track in self._tracks("test"):
            if (track.modality == IR) == (track.number in queries):
                test += _items(track)
            elif track.modality == RGB:
                raise ValueError(
                    f"{self.lists / 'query_IDX.txt'} lists track {track.number}, which is RGB, but the queries are IR: {ADVICE}"
                )
            else:
                self.skipped.append(f"track_test_info.txt, line {track.number}: IR, but not in query_IDX.txt")
        test = numbered(test)
        super().__init__(
            train=relabeled(numbered(train)),
            query=[item for item in test if item.modality == IR],
            gallery=[item for item in test if item.modality == RGB],
            **kwargs,
        )

    def _tracks(self, subset: str) -> Iterator[Track]:
        """The tracks of a list that are long enough."""
        names = read_text(self.lists / f"{subset}_name.txt").split()
        path = self.lists / f"track_{subset}_info.txt"
        images = self.dataset_dir / subset.title()
        images = images if images.is_dir() else self.dataset_dir
        for number, line in enumerate(filter(str.strip, read_text(path).splitlines()), start=1):
            where = f"{path}, line {number}"
            words = line.split()
            if len(words) != 5 or not all(word.isdecimal() for word in words) or int(words[0]) not in MODALITIES:
                raise ValueError(
                    f"{where}: expected modality (1 or 2), first frame, last frame, identity and camera: {ADVICE}"
                )
            modality, first, last, pid, camid = (parse_number(word, where) for word in words)
            if not 1 <= first <= last <= len(names):
                raise ValueError(
                    f"{where}: frames {first} to {last}, but {subset}_name.txt lists {len(names)} names: {ADVICE}"
                )
            frames = [_path(images, name, f"{subset}_name.txt") for name in names[first - 1 : last]]
            if len(frames) < MIN_FRAMES:
                self.skipped.append(f"{path.name}, line {number}: {len(frames)} frames, fewer than {MIN_FRAMES}")
                continue
            if not Path(frames[0]).is_file():
                raise FileNotFoundError(
                    f"{frames[0]} is missing, the first frame of {where}: unpack the data set again"
                )
            yield Track(number, MODALITIES[modality], frames, pid, camid)


def _items(track: Track) -> list[Item]:
    return [Item(path, track.pid, track.camid, 0, track.modality, 0, track.number) for path in track.frames]


def _path(folder: Path, name: str, source: str) -> str:
    found = NAME.fullmatch(name)
    if not found or int(found[2]) not in MODALITIES:
        raise ValueError(f"{source} lists {name[:60]}: expected a name such as 0001M2D3T1F1.jpg: {ADVICE}")
    pid, modality, place, file = found.groups()
    return str(folder / pid / ("ir" if MODALITIES[int(modality)] == IR else "rgb") / f"D{place}" / file)


def _numbers(path: Path) -> list[str]:
    words = read_text(path).split()
    for word in words:
        if not word.isdecimal():
            raise ValueError(f"{path} contains {word[:40]!r}: expected line numbers of track_test_info.txt, {ADVICE}")
    return words
