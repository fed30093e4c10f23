"""SYSU-MM01's protocol (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchreid_rgbir.metrics.features import TestFeatures, check_features
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw
from torchreid_rgbir.protocols.permutations import (
    Permutations,
    check_images,
    draw_official,
    parse_permutations,
    read_permutations,
)
from torchreid_rgbir.protocols.protocol import Setting, modality_of, score_settings

CAMERAS = {1: RGB, 2: RGB, 3: IR, 4: RGB, 5: RGB, 6: IR}
# Cameras 2 and 3 stand at the same place: a query of one skips all gallery images of the other.
SAME_PLACE = {3: 2, 2: 3}

# Query modality -> search -> the cameras the gallery is drawn from.
SEARCHES = {IR: {"all": (1, 2, 4, 5), "indoor": (1, 2)}, RGB: {"all": (3, 6), "indoor": (3,)}}
SHOTS = {"official": (1, 10), "agw": (1,)}  # how the gallery is drawn -> images per identity and camera


def evaluate(
    features: ArrayLike,
    pids: ArrayLike,
    camids: ArrayLike,
    image_numbers: ArrayLike | None,
    permutations: str | Path | NDArray | Permutations | None,
    search: str = "all",
    shots: int = 1,
    *,
    sampling: str = "official",
    query: str = "ir",
    distance: str = "cosine",
) -> dict:
    """Scores one setting of the protocol. The modality follows from the camera (RGB 1, 2, 4, 5; IR 3, 6).

    Args:
        features: (N, D) floats, every test image of both modalities in any order.
        pids: (N,) identities.
        camids: (N,) cameras 1 to 6.
        image_numbers: (N,) 1-based place of each image in the sorted list of its camera/id folder. May be None with "agw".
        permutations: rand_perm_cam.mat: its path, its variable as scipy reads it, or `read_permutations`'s tables. None with "agw".
        search: "all" (gallery of cameras 1, 2, 4, 5) or "indoor" (1, 2).
        shots: gallery images per identity and camera, 1 or 10.
        sampling, query, distance: as in `report`.

    Returns:
        The setting's dict as in results.json; measures are fractions.

    Raises:
        FileNotFoundError: no such file of permutations.
        ValueError: bad input, or no query has a match.
    """
    camids = np.asarray(camids)
    modalities = np.where(np.isin(camids, [camid for camid, modality in CAMERAS.items() if modality == IR]), IR, RGB)
    numbers = None if image_numbers is None else np.asarray(image_numbers)
    data = TestFeatures(np.asarray(features), np.asarray(pids), camids, modalities, numbers)
    return _score(data, permutations, [search], [shots], query, distance, sampling, None)[0]


def report(
    data: TestFeatures,
    permutations: str | Path | NDArray | Permutations | None,
    *,
    query: str = "ir",
    distance: str = "cosine",
    sampling: str = "official",
    rerank: Rerank | None = None,
) -> list[dict]:
    """Scores every setting of the protocol: all-search before indoor-search, single-shot before multi-shot.

    Args:
        data: every test image of both modalities.
        permutations: as in `evaluate`.
        query: "ir" is the official direction. "rgb" is the reverse, which the authors do not define: every RGB test image asks a gallery
            drawn in the same way from the IR cameras (3 and 6; indoor 3), and a query of camera 2 skips camera 3. Its settings say `query`.
        distance: "cosine" or "euclidean".
        sampling: "official", the trials of rand_perm_cam.mat, or "agw", those of AGW's public code (single-shot only).
        rerank: adds each setting once more with k-reciprocal re-ranking among the queries and the trial's whole gallery.

    Returns:
        The settings' dicts as in results.json; measures are fractions.

    Raises:
        FileNotFoundError: no such file of permutations.
        ValueError: bad input, or a setting in which no query has a match.
    """
    searches = list(SEARCHES[modality_of(query)])
    return _score(data, permutations, searches, SHOTS.get(sampling, ()), query, distance, sampling, rerank)


def _score(
    data: TestFeatures,
    permutations: str | Path | NDArray | Permutations | None,
    searches: Sequence[str],
    shots: Sequence[int],
    query: str,
    distance: str,
    sampling: str,
    rerank: Rerank | None,
) -> list[dict]:
    modality = modality_of(query)
    if sampling not in SHOTS:
        raise ValueError(f"sampling {sampling!r} is unknown: choose one of {', '.join(SHOTS)}")
    for search in searches:
        if search not in SEARCHES[modality]:
            raise ValueError(f"search {search!r} is unknown: choose one of {', '.join(SEARCHES[modality])}")
    for num_shots in shots:
        if num_shots not in SHOTS[sampling]:
            raise ValueError(f"shots {num_shots}: {sampling} sampling has {' and '.join(map(str, SHOTS[sampling]))}")
    if sampling == "official" and permutations is None:
        raise ValueError(
            "the official trials need SYSU-MM01's rand_perm_cam.mat: give it (--permutations), or choose sampling agw"
        )
    data = check_features(data)
    _check_cameras(data)

    queries, gallery = data.of(modality), data.of(1 - modality)
    tables = _tables(permutations) if permutations is not None and sampling == "official" else None
    if tables is None:
        check_numbers(data)
    else:
        check_images(data, sorted({camid for search in searches for camid in SEARCHES[modality][search]}), tables)
    reverse = {"query": NAMES[modality]} if modality == RGB else {}
    settings = []
    for search in searches:
        for num_shots in shots:
            cameras = SEARCHES[modality][search]
            trials = (
                draw_agw(gallery, cameras) if tables is None else draw_official(gallery, cameras, num_shots, tables)
            )
            settings.append(Setting({"search": search, "shots": num_shots, "sampling": sampling} | reverse, trials))
    return score_settings(queries, gallery, settings, skip, True, distance, rerank)


def _tables(permutations: str | Path | NDArray | Permutations) -> Permutations:
    if isinstance(permutations, dict):
        return permutations
    if isinstance(permutations, np.ndarray):
        return parse_permutations(permutations)
    return read_permutations(permutations)


def skip(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
    return gallery.camids == SAME_PLACE.get(camid, -1)


def _check_cameras(data: TestFeatures) -> None:
    unknown = ~np.isin(data.camids, list(CAMERAS))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"camids: row {row} is {data.camids[row]}, SYSU-MM01 has cameras 1 to 6")
    contradicts = np.array([0, *CAMERAS.values()])[data.camids] != data.modalities
    if contradicts.any():
        row = int(np.argmax(contradicts))
        camid, modality = data.camids[row], data.modalities[row]
        raise ValueError(
            f"modalities: row {row} is {NAMES[modality]}, but SYSU-MM01's camera {camid} is {NAMES[1 - modality]}"
        )
