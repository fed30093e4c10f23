import random

import numpy as np
import pytest

from torchreid_rgbir.metrics import Rerank, TestFeatures, re_rank
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import llcm

CAMERAS = {camid: (RGB, IR) if camid != 3 else RGB for camid in range(1, 10)}


def drawn_rows(data, modality, trial):
    random.seed(trial)
    rows = []
    for pid in sorted(set(data.pids.tolist())):
        for camid in range(1, 10):
            files = np.flatnonzero((data.pids == pid) & (data.camids == camid) & (data.modalities == modality)).tolist()
            if files:
                rows.append(random.choice(sorted(files, key=lambda row: data.image_numbers[row])))
    return rows


@pytest.mark.parametrize(("kind", "distance"), [("ties", "euclidean"), ("real", "cosine")])
@pytest.mark.parametrize("seed", range(3))
def test_both_directions_equal_the_naive_reading(naive, seed, kind, distance):
    data = naive.random_set(np.random.default_rng(seed), CAMERAS, absent=0.6, kind=kind)
    dist = naive.distances(data, distance, kind)
    settings = llcm.report(data, distance=distance)
    assert [s["direction"] for s in settings] == ["nir->vis", "vis->nir"]
    for setting, modality in zip(settings, (IR, RGB), strict=True):
        asking = np.flatnonzero(data.modalities == modality)
        drawn = [drawn_rows(data, 1 - modality, trial) for trial in range(10)]

        def own_camera(q, g):
            return data.pids[q] == data.pids[g] and data.camids[q] == data.camids[g]

        trials = [naive.measures(data, asking, rows, own_camera, True, dist) for rows in drawn]
        naive.assert_setting(setting, trials, len(asking), len(drawn[0]))


def test_by_hand():
    """The query (identity 1, camera 1) does not see its own camera's image of identity 1, but does see that of identity 2."""
    values, pids, camids = [0, 1, 2, 3], [1, 1, 2, 1], [1, 1, 1, 2]
    modalities = np.array([IR, RGB, RGB, RGB])
    data = TestFeatures(np.array(values, float)[:, None], np.array(pids), np.array(camids), modalities)
    first = llcm.report(data, distance="euclidean")[0]
    assert first["mean"]["rank1"] == 0
    assert first["mean"]["mAP"] == 1 / 2
    assert first["num_gallery"] == 3


def test_the_order_of_the_rows_changes_nothing(naive):
    rng = np.random.default_rng(1)
    data = naive.random_set(rng, CAMERAS, absent=0.5, kind="ties")
    for _ in range(3):
        assert llcm.report(data.take(rng.permutation(len(data)))) == llcm.report(data)


def test_without_numbers_the_rows_come_in_the_files_order(naive):
    data = naive.random_set(np.random.default_rng(2), CAMERAS, absent=0.5, kind="real")
    ordered = data.take(np.argsort(data.image_numbers, kind="stable"))
    unnumbered = TestFeatures(ordered.features, ordered.pids, ordered.camids, ordered.modalities)
    assert llcm.report(unnumbered) == llcm.report(data)


def test_a_camera_that_does_not_exist():
    data = TestFeatures(np.ones((2, 1)), np.array([1, 1]), np.array([1, 3]), np.array([RGB, IR]))
    with pytest.raises(ValueError, match="camids: row 1 is 3, but LLCM's nir cameras are 1, 2, 4, 5, 6, 7, 8, 9"):
        llcm.report(data)


def perfect(data):
    return TestFeatures(np.eye(61)[data.pids], data.pids, data.camids, data.modalities, data.image_numbers)


def test_perfect_features_score_one(naive):
    for setting in llcm.report(perfect(naive.random_set(np.random.default_rng(3), CAMERAS, absent=0.3))):
        assert set(setting["mean"].values()) == {1.0}
        assert set(setting["std"].values()) == {0.0}


def test_images_that_every_query_skips_change_nothing():
    """Identity 5 asks from camera 1: its RGB image of that camera, the nearest of all, is seen by nobody."""
    rows = [
        (5, 1, IR, 0),
        (5, 2, RGB, 3),
        (5, 4, RGB, 5),
        (6, 1, RGB, 2),
        (6, 2, RGB, 4),
        (7, 4, RGB, 6),
        (5, 1, RGB, 1),
    ]
    pids, camids, modalities, values = np.array(rows).T
    data = TestFeatures(values[:, None].astype(float), pids, camids, modalities, np.ones(7, int))
    fewer, skipping = (llcm.report(some, distance="euclidean")[0] for some in (data.take(np.arange(6)), data))
    assert (fewer["num_gallery"], skipping["num_gallery"]) == (5, 6)
    assert skipping | {"num_gallery": 0} == fewer | {"num_gallery": 0}
    assert fewer["mean"]["mAP"] == (1 / 2 + 2 / 4) / 2


def test_no_valid_query_is_an_error_and_names_the_direction(naive):
    data = naive.random_set(np.random.default_rng(5), {1: (RGB, IR)}, absent=0)
    with pytest.raises(ValueError, match="direction nir->vis: none of the .* queries has a match"):
        llcm.report(data)


def test_reranked_rows_come_last_and_rank_each_trial_anew(naive):
    data = naive.random_set(np.random.default_rng(6), CAMERAS, absent=0.5, kind="real")
    settings = llcm.report(data, rerank=Rerank(5, 2, 0.3))
    assert settings[:2] == llcm.report(data)
    assert [s["direction"] for s in settings] == ["nir->vis", "vis->nir"] * 2
    for setting, modality in zip(settings[2:], (IR, RGB), strict=True):
        assert setting["rerank"] == {"k1": 5, "k2": 2, "lambda": 0.3}

        def place(row):
            return data.pids[row], data.camids[row], data.image_numbers[row]

        def own_camera(q, g):
            return data.pids[q] == data.pids[g] and data.camids[q] == data.camids[g]

        asking = sorted(np.flatnonzero(data.modalities == modality), key=place)
        trials = []
        for trial in range(10):
            drawn = sorted(drawn_rows(data, 1 - modality, trial), key=place)
            dist = np.full((len(data), len(data)), np.nan)
            dist[np.ix_(asking, drawn)] = re_rank(data.features[asking], data.features[drawn], 5, 2, 0.3)
            trials.append(naive.measures(data, asking, drawn, own_camera, True, dist))
        naive.assert_setting(setting, trials, len(asking), len(drawn))


def test_a_folder_with_a_gap_is_refused(naive):
    data = naive.random_set(np.random.default_rng(7), CAMERAS, absent=0)
    row = np.flatnonzero(data.image_numbers == 3)[0]
    with pytest.raises(ValueError, match=r"^image_numbers: row \d+ is \d"):
        llcm.report(
            data.take(~((data.image_numbers == 2) & (data.pids == data.pids[row]) & (data.camids == data.camids[row])))
        )


def test_without_numbers_one_warning(naive, caplog):
    data = naive.random_set(np.random.default_rng(8), CAMERAS)
    llcm.report(TestFeatures(data.features, data.pids, data.camids, data.modalities))
    assert [record.message[:30] for record in caplog.records] == ["WARNING: without image_numbers"]
