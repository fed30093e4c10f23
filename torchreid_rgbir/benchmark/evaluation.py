"""Speed of the evaluation, compared with plain code that handles one trial and one query at a time.

All sides start from the same features and compute their own distances. The plain code has two forms. "batched" is what
public code does: one matrix product gives the distances of a trial, then a Python loop ranks one query after the other.
"naive" also computes the distances in that loop, with a product of the gallery and one query. It reads the complete
gallery each time and is slower. If each ranking is used once (RegDB), the matrix product is a large part of the work on
every side, which limits the ratio to "batched".
"""

import multiprocessing
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.benchmark import timing
from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import regdb, sysu_mm01
from torchreid_rgbir.protocols.galleries import NUM_TRIALS
from torchreid_rgbir.protocols.permutations import Permutations

DistancesOf = Callable[[int], NDArray]  # number of a query -> its distances (G,)
Distances = Callable[[NDArray, NDArray], DistancesOf]  # of queries (Q, D) and a gallery (G, D)

# SYSU-MM01's test set: camera -> numbers of identities and images.
SYSU_CAMERAS = {1: (56, 1374), 2: (56, 1565), 3: (93, 1883), 4: (94, 1918), 5: (95, 1918), 6: (96, 1920)}


def evaluation(rounds: int = 3, dim: int = 2048) -> dict:
    """Times the 40 rankings of SYSU-MM01 (2 searches x 2 shots x 10 trials) and those of one RegDB split.

    A round takes minutes for the plain code. The features are random in the sizes of the official test sets, as the
    work does not depend on them.

    Returns:
        See `timing.figures`. The ratios say how many times faster ours is: "evaluation_over_naive" and
        "evaluation_over_batched" for SYSU-MM01, "evaluation_regdb_over_naive" and "evaluation_regdb_over_batched" for
        RegDB. "limits": the time of the product of all queries with all gallery images, which every method needs, for
        "evaluation_ours" and "evaluation_regdb_ours". "evaluation_peak_bytes": `peak_memory`.
    """
    data, permutations = sysu_sized(dim)
    split = regdb_sized(dim)
    measured: dict = {"evaluation_peak_bytes": peak_memory(dim)}
    for name, tested, naive, ours in (
        (
            "evaluation",
            data,
            partial(naive_sysu_mm01, data, permutations),
            partial(sysu_mm01.report, data, permutations),
        ),
        ("evaluation_regdb", split, partial(naive_regdb, split), partial(regdb.report, split)),
    ):
        query, gallery = tested.of(IR).features, tested.of(RGB).features
        sides = {
            f"{name}_naive": partial(naive, query_by_query),
            f"{name}_batched": partial(naive, all_queries_at_once),
        }
        ours()  # only ours needs a warm-up, because the others take minutes
        ours_and_limit = {f"{name}_ours": ours, f"{name}_product": partial(np.matmul, query, gallery.T)}
        seconds = timing.interleave(sides | ours_and_limit, rounds, warmup=0)
        pairs = {side.replace(name, f"{name}_over"): (side, f"{name}_ours") for side in sides}
        timing.merge(measured, timing.figures(seconds, pairs))
        limit = measured["medians"].pop(f"{name}_product")
        timing.merge(measured, {"limits": {f"{name}_ours": (limit, "one matrix product")}})
    return measured


def peak_memory(dim: int = 2048) -> int:
    """Returns the peak memory in bytes of a process that scores SYSU-MM01, including libraries and features."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_score_and_peak, (dim,))


def _score_and_peak(dim: int) -> int:
    sysu_mm01.report(*sysu_sized(dim))
    return timing.peak_memory()


def sysu_sized(dim: int = 2048, seed: int = 0) -> tuple[TestFeatures, Permutations]:
    """Returns random data like SYSU-MM01's test set: 3,803 IR and 6,775 RGB images of 96 identities."""
    rng = np.random.default_rng(seed)
    rows, permutations = [], Permutations()
    for camid, (num_ids, num_images) in SYSU_CAMERAS.items():
        permutations[camid] = {}
        for pid in range(1, num_ids + 1):
            num = num_images // num_ids + (pid <= num_images % num_ids)
            rows += [(pid, camid, sysu_mm01.CAMERAS[camid], number) for number in range(1, num + 1)]
            permutations[camid][pid] = np.array([rng.permutation(num) + 1 for _ in range(NUM_TRIALS)])
    pids, camids, modalities, numbers = np.array(rows).T
    return TestFeatures(_features(rng, pids, dim), pids, camids, modalities, numbers), permutations


def regdb_sized(dim: int = 2048, seed: int = 0) -> TestFeatures:
    """Returns random features like the test set of a RegDB split: 206 identities with 10 images of each modality."""
    pids = np.tile(np.repeat(np.arange(206), 10), 2)
    modalities = np.repeat([RGB, IR], 2060)
    return TestFeatures(_features(np.random.default_rng(seed), pids, dim), pids, modalities + 1, modalities)


def query_by_query(query: NDArray, gallery: NDArray) -> DistancesOf:
    """Cosine distances that are computed for one query at a time."""
    query, gallery = _normalized(query), _normalized(gallery)
    return lambda i: 1 - gallery @ query[i]


def all_queries_at_once(query: NDArray, gallery: NDArray) -> DistancesOf:
    """Cosine distances that are computed for all queries with one matrix product."""
    dist = 1 - _normalized(query) @ _normalized(gallery).T
    return lambda i: dist[i]


def naive_sysu_mm01(data: TestFeatures, permutations: Permutations, distances: Distances) -> list[dict[str, float]]:
    """Returns the mean measures of the four settings, in the order of `sysu_mm01.report`."""
    query, gallery = data.of(IR), data.of(RGB)
    settings = []
    for cameras in ((1, 2, 4, 5), (1, 2)):
        for shots in (1, 10):
            drawn = (_drawn(gallery, cameras, shots, permutations, trial) for trial in range(NUM_TRIALS))
            trials = [_naive(query, gallery.take(rows), distances, is_sysu=True) for rows in drawn]
            settings.append({key: float(np.mean([trial[key] for trial in trials])) for key in trials[0]})
    return settings


def naive_regdb(data: TestFeatures, distances: Distances) -> list[dict[str, float]]:
    """Returns the mean measures of both directions, in the order of `regdb.report`."""
    return [_naive(data.of(modality), data.of(1 - modality), distances, is_sysu=False) for modality in (IR, RGB)]


def _naive(query: TestFeatures, gallery: TestFeatures, distances: Distances, is_sysu: bool) -> dict[str, float]:
    """Returns the mean measures over the queries that have a match. SYSU-MM01's CMC counts identities, others images."""
    distances_of = distances(query.features, gallery.features)
    per_query = []
    for i, pid in enumerate(query.pids):
        order = np.argsort(distances_of(i), kind="stable")
        if is_sysu and query.camids[i] == 3:
            order = order[gallery.camids[order] != 2]
        ranked = gallery.pids[order]
        matches = ranked == pid
        if matches.any():
            counted = matches[np.sort(np.unique(ranked, return_index=True)[1])] if is_sysu else matches
            cmc = counted.cumsum() > 0
            places = np.flatnonzero(matches) + 1
            precisions = np.arange(1, len(places) + 1) / places
            ranks = [cmc[min(rank, len(cmc)) - 1] for rank in (1, 5, 10, 20)]
            per_query.append([*ranks, precisions.mean(), precisions[-1]])
    means = np.mean(per_query, axis=0)
    return dict(zip(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), means.tolist(), strict=True))


def _features(rng: np.random.Generator, pids: NDArray, dim: int) -> NDArray[np.float32]:
    centers = rng.standard_normal((int(pids.max()) + 1, dim), np.float32)
    return centers[pids] + 3 * rng.standard_normal((len(pids), dim), np.float32)


def _drawn(
    gallery: TestFeatures, cameras: tuple[int, ...], shots: int, permutations: Permutations, trial: int
) -> NDArray[np.int64]:
    rows: list[int] = []
    for pid in np.unique(gallery.pids).tolist():
        for camid in cameras:
            folder = np.flatnonzero((gallery.pids == pid) & (gallery.camids == camid))
            if len(folder):
                rows += sorted(folder[permutations[camid][pid][trial][:shots] - 1].tolist())
    return np.array(rows)


def _normalized(features: NDArray) -> NDArray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
