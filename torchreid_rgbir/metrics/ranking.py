"""CMC, mAP and mINP of many trials from one ranking (mINP: Ye et al., "Deep Learning for Person Re-identification", PAMI 2021).

Each query is ranked once over all gallery images. The gallery of a trial is a choice of columns of that ranking.
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

# The gallery images that a query ignores: (query's pid, query's camid, gallery images) -> mask (G,).
Ignored = Callable[[int, int, TestFeatures], NDArray[np.bool_]]


class Scores(NamedTuple):
    """The scores of each query in one gallery.

    Attributes:
        first_match_rank: (Q,) 1-based rank of the first match among images or identities; 0 if there is no match (the query is not valid).
        ap: (Q,) non-interpolated average precision over images.
        inp: (Q,) number of matches / place of the last match, over images.
    """

    first_match_rank: NDArray[np.int64]
    ap: NDArray[np.float64]
    inp: NDArray[np.float64]

    @property
    def num_valid(self) -> int:
        return int(np.count_nonzero(self.first_match_rank))

    def means(self) -> dict[str, float]:
        """The measures as fractions: means over the valid queries.

        Raises:
            ValueError: no query is valid.
        """
        valid = self.first_match_rank > 0
        if not valid.any():
            raise ValueError(f"none of the {len(valid)} queries has a match in the gallery, so nothing can be measured")
        first = self.first_match_rank[valid]
        cmc = [float(np.count_nonzero(first <= rank) / len(first)) for rank in CMC_RANKS]
        # fsum rounds once, so the order of the queries changes nothing.
        averages = [math.fsum(values[valid]) / len(first) for values in (self.ap, self.inp)]
        return dict(zip(MEASURES, (*cmc, *averages), strict=True))


def score(
    query: TestFeatures,
    gallery: TestFeatures,
    trials: Sequence[NDArray[np.int64]],
    distance_rows: Callable[[slice], NDArray],
    ignored: Ignored,
    cmc_over_identities: bool,
) -> list[Scores]:
    """Scores every query in every trial's gallery.

    Args:
        query: Q images in canonical order (`TestFeatures.of`).
        gallery: G images in canonical order; distances that tie are ranked in it.
        trials: the rows of `gallery` that each trial draws, ascending.
        distance_rows: returns the distances (block, G) of a block of queries.
        ignored: the mask of the gallery images that a query ignores.
        cmc_over_identities: each identity counts once in a ranked list, at its best-ranked image. Otherwise every image counts.

    Returns:
        One Scores per trial.
    """
    scores = [Scores(np.zeros(len(query), np.int64), np.zeros(len(query)), np.zeros(len(query))) for _ in trials]
    for block in _blocks(len(query), len(gallery)):
        ranks = _ranks(distance_rows(block))  # (block, G)
        for rows in _same_identity_and_camera(query, block):
            pid, camid = int(query.pids[rows.start]), int(query.camids[rows.start])
            valid = ~ignored(pid, camid, gallery)  # (G,)
            ranks_of_rows = ranks[rows.start - block.start : rows.stop - block.start]
            for trial, result in zip(trials, scores, strict=True):
                drawn = trial[valid[trial]]
                _score_group(ranks_of_rows, drawn, gallery.pids[drawn], pid, cmc_over_identities, rows, result)
    return scores


def _score_group(
    ranks: NDArray, drawn: NDArray, pids: NDArray, pid: int, cmc_over_identities: bool, rows: slice, result: Scores
) -> None:
    """Writes the scores of queries that share identity and camera, and therefore gallery and matches.

    Letters: Q queries of the group, G drawn gallery images, M matches among them.

    Example, with the ranks [[1, 0, 2], [4, 5, 3]] of `_ranks`: the trial draws columns 0 and 2, and column 2 is the match. The drawn ranks
    are [[1, 2], [4, 3]], sorted 1, 2, 3, 4. The match of query 0 has rank 2, the second of the four: place 2. The match of query 1 has
    rank 3, the third of the four; minus the two entries of query 0 this is place 1.
    """
    # The canonical order sorts by identity, so the matches are neighbors.
    start, stop = np.searchsorted(pids, pid), np.searchsorted(pids, pid, side="right")
    num_matches = int(stop - start)
    if num_matches == 0:
        return
    in_trial = ranks if len(drawn) == ranks.shape[1] else np.take(ranks, drawn, axis=1)  # (Q, G)
    matches = np.sort(in_trial[:, start:stop], axis=1)  # (Q, M)
    if in_trial is ranks:
        places = matches % ranks.shape[1] + 1  # (Q, M), 1-based
    else:
        # Ranks grow from row to row, so the sorted rows are one sorted array, and one search finds every place.
        in_order = np.sort(in_trial, axis=1).ravel()
        places = np.searchsorted(in_order, matches.ravel(), side="right").reshape(matches.shape)
        places -= np.arange(len(in_trial))[:, None] * in_trial.shape[1]
    if cmc_over_identities:
        first_images = np.flatnonzero(np.diff(pids, prepend=pids[0] - 1))
        best = np.minimum.reduceat(in_trial, first_images, axis=1)  # (Q, identities)
        result.first_match_rank[rows] = 1 + np.count_nonzero(best < matches[:, :1], axis=1)
    else:
        result.first_match_rank[rows] = places[:, 0]
    result.ap[rows] = (np.arange(1, num_matches + 1) / places).mean(axis=1)
    result.inp[rows] = num_matches / places[:, -1]


def _ranks(dist: NDArray) -> NDArray[np.int32]:
    """The rank of every gallery image (Q, G), counted on from row to row: row q has the ranks q * G to q * G + G - 1.

    Example: the distances [[0.2, 0.1, 0.3], [0.5, 0.6, 0.4]] sort to the columns [[1, 0, 2], [2, 0, 1]]. In the flattened matrix these
    are the entries 1, 0, 2, 5, 3, 4, in the order of their ranks 0 to 5. The ranks are therefore [[1, 0, 2], [4, 5, 3]].
    """
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
    # Much faster than a stable argsort: one integer holds the distance's bits, changed to sort as integers, above the column's number.
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
