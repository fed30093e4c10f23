"""SYSU-MM01's protocol (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017)."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, NAMES, RGB, modality_of
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw
from torchreid_rgbir.protocols.permutations import (
    Permutations,
    check_images,
    draw_official,
    parse_permutations,
    read_permutations,
)
from torchreid_rgbir.protocols.protocol import Protocol, Setting

CAMERAS = {1: RGB, 2: RGB, 3: IR, 4: RGB, 5: RGB, 6: IR}
# Cameras 2 and 3 are at the same place: a query of one ignores all gallery images of the other.
SAME_PLACE = {3: 2, 2: 3}

# Query modality -> search -> the cameras that the gallery is drawn from.
SEARCHES = {IR: {"all": (1, 2, 4, 5), "indoor": (1, 2)}, RGB: {"all": (3, 6), "indoor": (3,)}}
SHOTS = {"official": (1, 10), "agw": (1,)}  # how the gallery is drawn -> images per identity and camera
PermutationSource = str | Path | NDArray | Permutations | None


class SYSUMM01Protocol(Protocol):
    """All-search before indoor-search, single-shot before multi-shot, ten trials each; CMC counts identities.

    Queries are IR images ("ir"). The reverse ("rgb") is not defined by the data set's authors: every RGB test image is a query of a
    gallery that is drawn in the same way from the IR cameras (3 and 6; indoor 3). The results of the reverse contain the key `query`.

    Sampling "official" draws the trials of rand_perm_cam.mat, "agw" those of AGW's public code (single-shot only).

    Args:
        permutations: rand_perm_cam.mat: its path, its variable as scipy reads it, or `read_permutations`'s tables. Only the official
            trials need it.
        searches: the searches to score, "all" or "indoor"; both when empty.
        shots: the numbers of gallery images per identity and camera to score, 1 or 10; all of the sampling's when empty.
        unreadable: test images that are missing from the features because they cannot be read; the official trials refuse them.
    """

    cmc_over_identities = True
    why_ignored = "cameras 2 and 3 are at the same place: check camids"

    def __init__(
        self,
        permutations: PermutationSource = None,
        searches: Sequence[str] = (),
        shots: Sequence[int] = (),
        unreadable: Sequence[str] = (),
    ):
        self.permutations = permutations
        self.searches = searches
        self.shots = shots
        self.unreadable = unreadable

    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        modality = modality_of(query)
        if sampling not in SHOTS:
            raise ValueError(f"sampling {sampling!r} is unknown: choose one of {', '.join(SHOTS)}")
        cameras, shots = SEARCHES[modality], SHOTS[sampling]
        for search in self.searches:
            if search not in cameras:
                raise ValueError(f"search {search!r} is unknown: choose one of {', '.join(cameras)}")
        for number in self.shots:
            if number not in shots:
                raise ValueError(f"shots {number}: {sampling} sampling has {' and '.join(map(str, shots))}")
        _check_cameras(labels)

        searches = self.searches or tuple(cameras)
        tables = self._tables() if sampling == "official" else None
        if tables is None:
            check_numbers(labels)
        else:
            check_images(labels, sorted({camid for search in searches for camid in cameras[search]}), tables)
        gallery = labels.gallery(1 - modality)
        reverse = {"query": NAMES[modality]} if modality == RGB else {}
        settings = []
        for search, number in itertools.product(searches, self.shots or shots):
            drawn_from = gallery, cameras[search]
            trials = draw_agw(*drawn_from) if tables is None else draw_official(*drawn_from, number, tables)
            name = {"search": search, "shots": number, "sampling": sampling} | reverse
            settings.append(Setting(name, modality, trials))
        return settings

    @staticmethod
    def ignored(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
        """Gallery images of the camera at the same place as the query's."""
        return gallery.camids == SAME_PLACE.get(camid, -1)

    def _tables(self) -> Permutations:
        if self.permutations is None:
            raise ValueError(
                "the official trials need SYSU-MM01's rand_perm_cam.mat: give it (--permutations), or choose sampling agw"
            )
        if self.unreadable:
            raise ValueError(
                f"{len(self.unreadable)} test images cannot be read, such as {self.unreadable[0]}, and the official trials "
                "draw from all of them: replace them, or set test.sampling agw"
            )
        if isinstance(self.permutations, dict):
            return self.permutations
        if isinstance(self.permutations, np.ndarray):
            return parse_permutations(self.permutations)
        return read_permutations(self.permutations)


def report(data: TestFeatures, permutations: PermutationSource, **options: Any) -> list[dict]:
    """Scores features under SYSU-MM01's protocol, with the options of `Protocol.score`."""
    return SYSUMM01Protocol(permutations).score(data, **options)


def evaluate(
    features: ArrayLike,
    pids: ArrayLike,
    camids: ArrayLike,
    image_numbers: ArrayLike | None,
    permutations: PermutationSource,
    search: str = "all",
    shots: int = 1,
    **options: Any,
) -> dict:
    """Scores one setting of the protocol, from plain arrays. The modality follows from the camera (RGB 1, 2, 4, 5; IR 3, 6).

    Args:
        features: (N, D) floats, every test image of both modalities in any order.
        pids: (N,) identities.
        camids: (N,) cameras 1 to 6.
        image_numbers: (N,) 1-based place of each image in the sorted list of its camera/id folder. May be None with "agw".
        permutations: as in `SYSUMM01Protocol`; may be None with "agw".
        search, shots: one of each that `SYSUMM01Protocol` takes.
        **options: of `Protocol.score`.

    Returns:
        The setting's dict as in results.json; measures are fractions.

    Raises:
        FileNotFoundError: the file of permutations is missing.
        ValueError: the input is invalid, or no query has a match.
    """
    camids = np.asarray(camids)
    modalities = np.where(np.isin(camids, [camid for camid, modality in CAMERAS.items() if modality == IR]), IR, RGB)
    numbers = None if image_numbers is None else np.asarray(image_numbers)
    data = TestFeatures(np.asarray(features), np.asarray(pids), camids, modalities, numbers)
    return SYSUMM01Protocol(permutations, [search], [shots]).score(data, **options)[0]


skip = SYSUMM01Protocol.ignored  # the name in version 0.1


def _check_cameras(labels: TestFeatures) -> None:
    unknown = ~np.isin(labels.camids, list(CAMERAS))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"camids: row {row} is {labels.camids[row]}, but SYSU-MM01 has cameras 1 to 6")
    contradicts = np.array([0, *CAMERAS.values()])[labels.camids] != labels.modalities
    if contradicts.any():
        row = int(np.argmax(contradicts))
        camid, modality = labels.camids[row], labels.modalities[row]
        raise ValueError(
            f"modalities: row {row} is {NAMES[modality]}, but SYSU-MM01's camera {camid} is {NAMES[1 - modality]}"
        )
