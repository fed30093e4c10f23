import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.metrics import QueryScores, paired_bootstrap
from torchreid_rgbir.metrics.bootstrap import BLOCK, resampled_means
from torchreid_rgbir.metrics.ranking import Scores


def scores_of(pids, ap, valid=None):
    """Queries of these identities (Q,), with the average precision (T, Q); all are valid unless `valid` (T, Q) says otherwise."""
    ap = np.atleast_2d(ap)
    valid = np.ones(ap.shape, int) if valid is None else valid
    trials = [Scores(seen.astype(int), row * seen, row * seen) for row, seen in zip(ap, valid, strict=True)]
    names = np.array([f"{number}.jpg" for number in range(len(pids))])
    return QueryScores(np.asarray(pids), np.full(len(pids), 3), names, trials)


def test_equals_a_naive_loop_on_the_same_draws():
    """The loop repeats queries and averages them as the mAP is defined: over valid queries, trials and trainings."""
    rng = np.random.default_rng(3)
    pids = np.repeat([2, 3, 5, 8, 9, 11], [1, 4, 2, 3, 2, 2])
    valid = np.tile(pids != 8, (3, 1))  # identity 8 has no match
    ours, theirs = ([scores_of(pids, rng.random((3, len(pids))), valid) for _ in range(2)] for _ in range(2))
    found = paired_bootstrap(ours, theirs, resamples=300, seed=7)

    def mean_ap(trainings, rows):
        of_trainings = []
        for training in trainings:
            of_trials = []
            for trial in training.trials:
                of_trials.append(np.mean([trial.ap[row] for row in rows if trial.first_match_rank[row]]))
            of_trainings.append(np.mean(of_trials))
        return np.mean(of_trainings)

    ids = [2, 3, 5, 9, 11]
    counts = np.random.default_rng(7).multinomial(len(ids), np.full(len(ids), 1 / len(ids)), 300)
    differences = []
    for row in counts:
        rows = [
            q for pid, count in zip(ids, row, strict=True) for _ in range(count) for q in np.flatnonzero(pids == pid)
        ]
        differences.append(mean_ap(ours, rows) - mean_ap(theirs, rows))
    every = range(len(pids))
    expected = {"mAP": mean_ap(ours, every) - mean_ap(theirs, every), "num_ids": 5}
    expected |= dict(zip(("low", "high"), np.quantile(differences, (0.025, 0.975)), strict=True))
    assert found == pytest.approx(expected, abs=1e-14)
    turned = paired_bootstrap(theirs, ours, resamples=300, seed=7)
    assert (turned["low"], turned["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_blocks_of_resamples_do_not_show():
    rng, sums = np.random.default_rng(0), np.random.default_rng(1).random(5)
    counts = rng.multinomial(5, np.full(5, 0.2), BLOCK + 7)
    expected = [(row * sums).sum() / 5 for row in counts]
    found = resampled_means(sums, np.ones(5), BLOCK + 7, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    """Two methods that are equally good: their difference on an identity varies around 0, and its queries share it.

    An interval that resamples single queries covers 0 in less than 90 % of these data sets.
    """
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        pids = np.repeat(np.arange(60), rng.integers(1, 9, 60))
        of_ids = rng.normal(0, 0.1, 60)[pids]
        ours, theirs = (0.5 + sign * of_ids + rng.normal(0, 0.05, len(pids)) for sign in (0.5, -0.5))
        found = paired_bootstrap([scores_of(pids, ours)], [scores_of(pids, theirs)], resamples=1000)
        covered += found["low"] <= 0 <= found["high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_pairs_make_a_small_but_consistent_difference_significant():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(50), 4)
    hard = rng.random(200) * 0.8
    found = paired_bootstrap([scores_of(pids, hard + 0.02)], [scores_of(pids, hard)])
    assert found == pytest.approx({"mAP": 0.02, "low": 0.02, "high": 0.02, "num_ids": 50})
    unpaired = paired_bootstrap([scores_of(pids, hard + 0.02)], [scores_of(pids, rng.permutation(hard))])
    assert unpaired["low"] < 0 < unpaired["high"]


def test_the_seed_decides_the_samples():
    rng, pids = np.random.default_rng(0), np.arange(30)
    pair = [scores_of(pids, rng.random(30))], [scores_of(pids, rng.random(30))]
    assert paired_bootstrap(*pair) == paired_bootstrap(*pair)
    assert paired_bootstrap(*pair)["low"] != paired_bootstrap(*pair, seed=2)["low"]


def test_the_same_queries_in_a_different_folder():
    one = scores_of([1, 2], [0.5, 0.6])
    moved = dataclasses.replace(one, paths=np.array([f"/disk/{name}" for name in one.paths]))
    assert paired_bootstrap([one], [moved])["mAP"] == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (scores_of([1, 2], [[0.5, 0.6]] * 10), "2 queries, number of trials 1 and 2 queries, number of trials 10"),
        (scores_of([1, 2, 2], [0.5, 0.6, 0.7]), "2 queries, number of trials 1 and 3 queries, number of trials 1"),
        (scores_of([1, 3], [0.5, 0.6]), "query 2 is 1.jpg of identity 2, camera 3 and 1.jpg of identity 3, camera 3"),
    ],
)
def test_different_queries_cannot_be_paired(other, message):
    one = dataclasses.replace(scores_of([1, 2], [0.5, 0.6]), source="a/queries.csv")
    other = dataclasses.replace(other, source="b/queries.csv")
    message = f"a/queries.csv and b/queries.csv cannot be paired, because their queries differ: {message}"
    with pytest.raises(ValueError, match=message):
        paired_bootstrap([other], [one])
    with pytest.raises(ValueError, match=message):
        paired_bootstrap([one, other], [one])


def test_one_identity_has_no_interval():
    one = scores_of([4, 4, 5], [0.5, 0.6, 0.0], np.array([[1, 1, 0]]))
    message = "scores: all valid queries are of identity 4, and an interval over identities requires two"
    with pytest.raises(ValueError, match=message):
        paired_bootstrap([one], [one])
