from fractions import Fraction

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures, ranking
from torchreid_rgbir.modality import IR, RGB


def images(pids, modality, camids=None):
    n = len(pids)
    return TestFeatures(np.ones((n, 1)), np.array(pids), np.array(camids or [1] * n), np.full(n, modality))


def see_all(pid, camid, gallery):
    return np.zeros(len(gallery), bool)


def score_one(dist, query_pids, gallery_pids, over_identities=False):
    """Scores of one query set in the whole gallery, given in canonical order."""
    dist = np.asarray(dist, np.float32)
    trials = [np.arange(len(gallery_pids))]
    query, gallery = images(query_pids, IR), images(gallery_pids, RGB)
    return ranking.score(query, gallery, trials, dist.__getitem__, see_all, over_identities)[0]


def test_by_hand():
    # Ranked list of the one query (identity 2): 1, 1, 2, 3, 2
    scores = score_one([[0.1, 0.2, 0.3, 0.5, 0.4]], [2], [1, 1, 2, 2, 3])
    assert scores.first_match_rank.tolist() == [3]
    assert scores.ap[0] == pytest.approx(float((Fraction(1, 3) + Fraction(2, 5)) / 2), abs=1e-15)
    assert scores.inp[0] == 2 / 5
    assert scores.means() == {
        "rank1": 0, "rank5": 1, "rank10": 1, "rank20": 1, "mAP": pytest.approx(11 / 30), "mINP": 2 / 5
    }  # fmt: skip


def test_over_identities_only_the_cmc_changes():
    images_count = score_one([[0.1, 0.2, 0.3, 0.5, 0.4]], [2], [1, 1, 2, 2, 3])
    identities_count = score_one([[0.1, 0.2, 0.3, 0.5, 0.4]], [2], [1, 1, 2, 2, 3], over_identities=True)
    assert identities_count.first_match_rank.tolist() == [2]  # identity 1 counts once
    assert identities_count.ap.tolist() == images_count.ap.tolist()
    assert identities_count.inp.tolist() == images_count.inp.tolist()


def test_equal_distances_keep_the_canonical_order():
    assert score_one([[0.5] * 4], [3], [1, 2, 3, 4]).first_match_rank.tolist() == [3]
    assert score_one([[0.5] * 4], [1], [1, 2, 3, 4]).first_match_rank.tolist() == [1]


def test_a_query_without_a_match_is_left_out_and_counted():
    scores = score_one([[0.1, 0.2], [0.1, 0.2], [0.2, 0.1]], [1, 2, 7], [1, 2])
    assert scores.first_match_rank.tolist() == [1, 2, 0]
    assert scores.num_valid == 2
    assert scores.means()["rank1"] == 1 / 2
    assert scores.means()["mAP"] == 3 / 4


def test_no_valid_query_is_an_error():
    with pytest.raises(ValueError, match="none of the 2 queries has a match"):
        score_one([[0.1], [0.1]], [7, 8], [1]).means()


def test_an_empty_trial_has_no_valid_query():
    query, gallery = images([1], IR), images([1], RGB)
    dist = np.zeros((1, 1), np.float32)
    scores = ranking.score(query, gallery, [np.array([], int)], dist.__getitem__, see_all, True)[0]
    assert scores.num_valid == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_order_is_a_stable_argsort(dtype):
    rng = np.random.default_rng(0)
    dist = rng.integers(-3, 4, (50, 40)).astype(dtype) / 4
    dist[rng.random(dist.shape) < 0.1] = -0.0  # equal to 0, whatever its sign
    dist[rng.random(dist.shape) < 0.1] = 1e-45
    dist[rng.random(dist.shape) < 0.1] = 3e38
    np.testing.assert_array_equal(ranking._stable_order(dist.copy()), np.argsort(dist, axis=1, kind="stable"))


def test_blocks_of_queries_do_not_show(monkeypatch):
    rng = np.random.default_rng(1)
    dist = rng.random((500, 60)).astype(np.float32)
    query_pids, gallery_pids = np.sort(rng.integers(9, size=500)), np.sort(rng.integers(9, size=60))
    whole = score_one(dist, query_pids, gallery_pids, over_identities=True)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 1)
    blocked = score_one(dist, query_pids, gallery_pids, over_identities=True)
    for ours, theirs in zip(blocked, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_perfect_ranking_is_one_and_the_reverse_is_not():
    pids = np.repeat(np.arange(30), 2)
    different = (pids[:, None] != pids).astype(np.float32)
    assert set(score_one(different, pids, pids).means().values()) == {1.0}
    worst = score_one(1 - different, pids, pids).means()
    assert worst["rank20"] == 0
    assert worst["mAP"] == pytest.approx((1 / 59 + 2 / 60) / 2)
