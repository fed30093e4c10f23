"""CMC, mAP and mINP of many galleries drawn from one ranking (mINP: Ye et al., "Deep Learning for Person Re-identification", PAMI 2021).

Each query is ranked once over all gallery images; a trial's gallery is a choice of columns of that ranking. Only the matches' places are
ever looked up, so nothing is sorted per trial but small integers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.features import TestFeatures

CMC_RANKS = (1, 5, 10, 20)
MEASURES = (*(f"rank{rank}" for rank in CMC_RANKS), "mAP", "mINP")

BLOCK_BYTES = 2**27  # working memory for one block of queries
BYTES_PER_DISTANCE = 32  # distance, sorting key, order and rank of one query-gallery pair

# The gallery images that a query must not see: (query's pid, query's camid, gallery images) -> mask (G,).
Skip = Callable[[int, int, TestFeatures], NDArray[np.bool_]]


class Scores(NamedTuple):
    """How each query fared in one gallery.

    Attributes:
        first: (Q,) 1-based place of the first match, 0 for a query without one (it is not valid). Places count images or identities.
        ap: (Q,) non-interpolated average precision over images.
        inp: (Q,) number of matches / place of the last match, over images.
    """

    first: NDArray[np.int64]
    ap: NDArray[np.float64]
    inp: NDArray[np.float64]

    @property
    def num_valid(self) -> int:
        return int(np.count_nonzero(self.first))

    def means(self) -> dict[str, float]:
        """The measures, fractions: means over the valid queries.

        Raises:
            ValueError: no query is valid.
        """
        valid = self.first > 0
        if not valid.any():
            raise ValueError(
                f"none of the {len(valid)} queries has a match in the gallery, so nothing can be measured: check pids, camids and modalities"
            )
        first = self.first[valid]
        cmc = [float(np.count_nonzero(first <= rank) / len(first)) for rank in CMC_RANKS]
        # fsum rounds once, so the order of the queries never shows.
        averages = [math.fsum(values[valid]) / len(first) for values in (self.ap, self.inp)]
        return dict(zip(MEASURES, (*cmc, *averages), strict=True))


def score(
    query: TestFeatures,
    gallery: TestFeatures,
    trials: Sequence[NDArray[np.int64]],
    distance_rows: Callable[[slice], NDArray],
    skip: Skip,
    cmc_over_identities: bool,
) -> list[Scores]:
    """Scores every query in every trial's gallery.

    Args:
        query: Q images in canonical order (`TestFeatures.of`).
        gallery: G images in canonical order; distances that tie are ranked in it.
        trials: the rows of `gallery` that each trial draws, ascending.
        distance_rows: a block of queries -> its distances (block, G).
        skip: which gallery images a query must not see.
        cmc_over_identities: in the ranked list each identity counts once, at its best-ranked image; else every image counts.

    Returns:
        One Scores a trial.
    """
    scores = [Scores(np.zeros(len(query), np.int64), np.zeros(len(query)), np.zeros(len(query))) for _ in trials]
    for block in _blocks(len(query), len(gallery)):
        ranks = _ranks(distance_rows(block))  # (block, G)
        for rows in _same_identity_and_camera(query, block):
            pid, camid = int(query.pids[rows.start]), int(query.camids[rows.start])
            seen = ~skip(pid, camid, gallery)
            ranks_of_rows = ranks[rows.start - block.start : rows.stop - block.start]
            for trial, result in zip(trials, scores, strict=True):
                drawn = trial[seen[trial]]
                _score_group(ranks_of_rows, drawn, gallery.pids[drawn], pid, cmc_over_identities, rows, result)
    return scores


def _score_group(
    ranks: NDArray, drawn: NDArray, pids: NDArray, pid: int, cmc_over_identities: bool, rows: slice, result: Scores
) -> None:
    """Writes the scores of queries that share identity and camera, hence gallery and matches.

    Letters: Q queries of the group, G drawn gallery images, M of them matches.
    """
    start, stop = np.searchsorted(pids, (pid, pid + 1))  # the canonical order goes by identity: matches are neighbors
    num_matches = int(stop - start)
    if num_matches == 0:
        return
    seen = ranks if len(drawn) == ranks.shape[1] else np.take(ranks, drawn, axis=1)  # (Q, G)
    matches = np.sort(seen[:, start:stop], axis=1)  # (Q, M)
    if seen is ranks:
        places = matches % ranks.shape[1] + 1  # (Q, M), 1-based
    else:
        # Ranks grow from row to row, so the sorted rows are one sorted array and one search finds every place.
        in_order = np.sort(seen, axis=1).ravel()
        places = np.searchsorted(in_order, matches.ravel(), side="right").reshape(matches.shape)
        places -= np.arange(len(seen))[:, None] * seen.shape[1]
    if cmc_over_identities:
        first_images = np.flatnonzero(np.diff(pids, prepend=pids[0] - 1))
        best = np.minimum.reduceat(seen, first_images, axis=1)  # (Q, identities)
        result.first[rows] = 1 + np.count_nonzero(best < matches[:, :1], axis=1)
    else:
        result.first[rows] = places[:, 0]
    result.ap[rows] = (np.arange(1, num_matches + 1) / places).mean(axis=1)
    result.inp[rows] = num_matches / places[:, -1]


def _ranks(dist: NDArray) -> NDArray[np.int32]:
    """Place of every gallery image in its query's ranking, in one count over all rows: row q's ranks are q * G ... q * G + G - 1."""
    order = _stable_order(dist)
    num_queries, num_gallery = dist.shape
    order += np.arange(num_queries)[:, None] * num_gallery
    ranks = np.empty(dist.size, np.int32)
    ranks[order.ravel()] = np.arange(dist.size, dtype=np.int32)
    return ranks.reshape(dist.shape)


def _stable_order(dist: NDArray) -> NDArray[np.int64]:
    """argsort of every row; equal distances keep their order."""
    if dist.dtype != np.float32:
        return np.argsort(dist, axis=1, kind="stable")
    # Far faster than a stable argsort: the distance's bits, made to sort as integers, above the column's number.
    bits = (dist + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(dist.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys


def _blocks(num_queries: int, num_gallery: int) -> Iterator[slice]:
    step = max(BLOCK_BYTES // (BYTES_PER_DISTANCE * num_gallery), 1)
    for start in range(0, num_queries, step):
        yield slice(start, min(start + step, num_queries))


def _same_identity_and_camera(query: TestFeatures, block: slice) -> Iterator[slice]:
    pids, camids = query.pids[block], query.camids[block]
    changes = np.flatnonzero((np.diff(pids) != 0) | (np.diff(camids) != 0)) + 1
    edges = [0, *changes.tolist(), len(pids)]
    for start, stop in zip(edges, edges[1:], strict=False):
        yield slice(block.start + start, block.start + stop)
