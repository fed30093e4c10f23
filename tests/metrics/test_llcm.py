import random

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures, llcm
from torchreid_rgbir.modality import IR, RGB

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
    with pytest.raises(ValueError, match="camids: row 1 is 3, LLCM's nir cameras are 1, 2, 4, 5, 6, 7, 8, 9"):
        llcm.report(data)
