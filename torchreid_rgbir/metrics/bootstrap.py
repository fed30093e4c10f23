"""The confidence interval of a difference in mAP over the test identities: a paired bootstrap.

An identity is sampled with all of its queries, because these are not independent (Field and Welsh, "Bootstrapping clustered data", JRSS B
2007). Both methods are scored on the same samples (Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP
2004). The interval is the percentile interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
"""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.queries import QueryScores

RESAMPLES = 10_000
BLOCK = 1000  # resamples whose counts are in memory together


def paired_bootstrap(
    ours: Sequence[QueryScores], theirs: Sequence[QueryScores], resamples: int = RESAMPLES, seed: int = 1
) -> dict[str, float]:
    """The mAP of one method minus that of another, with a 95 % interval over the test identities.

    The galleries are the same in every resample. The interval does not cover the seeds of the training. With few identities it is
    too narrow: in a simulation it covered the true difference in 83 % of the tests with 5 identities, in 89 % with 10 and in 92 % with 20.

    Args:
        ours, theirs: the scores of each method on the same queries, one element per training. Each query's average precision is
            averaged over them.
        resamples: the number of samples of identities.
        seed: of the samples. The same seed gives the same interval.

    Returns:
        `mAP`, the difference; `low` and `high`, its interval; `num_ids`, the number of identities with a valid query.

    Raises:
        ValueError: the queries differ, or all valid queries are of one identity.
    """
    first = theirs[0]
    for other in (*theirs, *ours):
        _check_same_queries(first, other)
    gains = np.mean([one.weighted_ap for one in ours], axis=0) - np.mean([one.weighted_ap for one in theirs], axis=0)
    valid, weights = first.weights > 0, first.weights
    pids, group = np.unique(first.pids[valid], return_inverse=True)
    if len(pids) == 1:
        raise ValueError(
            f"{first.source}: all valid queries are of identity {pids[0]}, and an interval over identities requires two"
        )
    sums, sums_of_weights = (
        np.bincount(group, column[valid]).astype(np.float64) for column in (gains, weights)
    )  # (I,)
    differences = resampled_means(sums, sums_of_weights, resamples, np.random.default_rng(seed))
    low, high = np.quantile(differences, (0.025, 0.975))
    return {"mAP": float(gains.sum()), "low": float(low), "high": float(high), "num_ids": len(pids)}


def resampled_means(
    sums: NDArray[np.float64], weights: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The weighted mean of each resample, which has as many identities as the test, with replacement.

    Args:
        sums: (I,) the sum of weight times value over the queries of each identity.
        weights: (I,) the sum of the weights.

    Returns:
        (resamples,)
    """
    shares = np.full(len(sums), 1 / len(sums))
    means = []
    for start in range(0, resamples, BLOCK):
        counts = rng.multinomial(len(sums), shares, min(BLOCK, resamples - start))  # (block, I)
        means.append((counts @ sums) / (counts @ weights))
    return np.concatenate(means)


def _check_same_queries(one: QueryScores, other: QueryScores) -> None:
    problem = f"{one.source} and {other.source} cannot be paired, because their queries differ"
    sizes = [f"{len(scores.pids)} queries, number of trials {len(scores.trials)}" for scores in (one, other)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"{problem}: {' and '.join(sizes)}")
    for row, labels in enumerate(zip(_labels(one), _labels(other), strict=True), start=1):
        if labels[0] != labels[1]:
            raise ValueError(f"{problem}: query {row} is {' and '.join(labels)}")


def _labels(scores: QueryScores) -> list[str]:
    """Identity, camera and file name of each query. The folder of the data set may be a different one."""
    columns = scores.pids.tolist(), scores.camids.tolist(), scores.paths.tolist()
    return [
        f"{os.path.basename(path)} of identity {pid}, camera {camid}" for pid, camid, path in zip(*columns, strict=True)
    ]
