import numpy as np
import pytest

from torchreid_rgbir.metrics import Rerank, TestFeatures, re_rank
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import standard

CAMERAS = {0: (RGB, IR), 1: (RGB, IR), 2: (RGB, IR)}


@pytest.mark.parametrize("query", ["ir", "rgb"])
@pytest.mark.parametrize(("kind", "distance"), [("ties", "euclidean"), ("real", "cosine"), ("real", "euclidean")])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_naive_reading(naive, seed, kind, distance, query):
    data = naive.random_set(np.random.default_rng(seed), CAMERAS, num_ids=12, absent=0.5, kind=kind)
    dist = naive.distances(data, distance, kind)
    is_query = data.modalities == (IR if query == "ir" else RGB)
    asking, asked = np.flatnonzero(is_query), np.flatnonzero(~is_query)

    def own_camera(q, g):
        return data.pids[q] == data.pids[g] and data.camids[q] == data.camids[g] and data.camids[q] != 0

    (setting,) = standard.report(data, query=query, distance=distance)
    assert setting["direction"] == ("ir->rgb" if query == "ir" else "rgb->ir")
    naive.assert_setting(
        setting, [naive.measures(data, asking, asked, own_camera, False, dist)], len(asking), len(asked)
    )


@pytest.mark.parametrize(("camid", "rank1"), [(0, 1), (1, 0)])
def test_the_own_camera_is_skipped_only_where_it_is_known(camid, rank1):
    data = TestFeatures(
        np.array([[0.0], [1.0], [2.0], [3.0]]),
        np.array([1, 1, 2, 1]),
        np.array([camid, camid, camid, 5]),
        np.array([IR, RGB, RGB, RGB]),
    )
    assert standard.report(data, distance="euclidean")[0]["mean"]["rank1"] == rank1


def test_a_single_camera_leaves_no_valid_query(naive):
    data = naive.random_set(np.random.default_rng(0), {1: (RGB, IR)})
    with pytest.raises(ValueError, match="queries has a match"):
        standard.report(data)
    unknown = TestFeatures(data.features, data.pids, np.zeros_like(data.camids), data.modalities, data.image_numbers)
    assert standard.report(unknown)[0]["num_valid_queries"] > 0


def test_the_order_of_the_rows_changes_nothing(naive):
    rng = np.random.default_rng(1)
    data = naive.random_set(rng, CAMERAS, num_ids=20, absent=0.3, kind="ties")
    for _ in range(3):
        assert standard.report(data.take(rng.permutation(len(data)))) == standard.report(data)


def test_perfect_features_score_one(naive):
    data = naive.random_set(np.random.default_rng(2), CAMERAS)
    perfect = TestFeatures(np.eye(61)[data.pids], data.pids, data.camids, data.modalities)
    assert set(standard.report(perfect)[0]["mean"].values()) == {1.0}


def test_images_that_every_query_skips_change_nothing():
    """Identity 5 asks from camera 1: its RGB images of that camera, the nearest of all, are seen by nobody."""
    rows = [
        (5, 1, IR, 0),
        (5, 2, RGB, 3),
        (6, 1, RGB, 2),
        (6, 2, RGB, 4),
        (5, 3, RGB, 5),
        (5, 1, RGB, 1),
        (5, 1, RGB, 1),
    ]
    pids, camids, modalities, values = np.array(rows).T
    data = TestFeatures(values[:, None].astype(float), pids, camids, modalities)
    fewer, skipping = (standard.report(some, distance="euclidean")[0] for some in (data.take(np.arange(5)), data))
    assert (fewer["num_gallery"], skipping["num_gallery"]) == (4, 6)
    assert skipping | {"num_gallery": 0} == fewer | {"num_gallery": 0}
    assert fewer["mean"]["mAP"] == (1 / 2 + 2 / 4) / 2


def test_the_reranked_row_comes_last(naive):
    data = naive.random_set(np.random.default_rng(4), CAMERAS, kind="real")
    plain, reranked = standard.report(data, rerank=Rerank(5, 2, 0.3))
    assert [plain] == standard.report(data)
    queries, gallery = data.of(IR), data.of(RGB)
    both = TestFeatures(
        *(
            np.concatenate([getattr(queries, n), getattr(gallery, n)])
            for n in ("features", "pids", "camids", "modalities", "image_numbers")
        )
    )
    dist = np.full((len(both), len(both)), np.nan)
    dist[: len(queries), len(queries) :] = re_rank(queries.features, gallery.features, 5, 2, 0.3)
    asking, asked = range(len(queries)), range(len(queries), len(both))

    def own_camera(q, g):
        return both.pids[q] == both.pids[g] and both.camids[q] == both.camids[g] and both.camids[q] != 0

    assert reranked["rerank"] == {"k1": 5, "k2": 2, "lambda": 0.3}
    naive.assert_setting(
        reranked, [naive.measures(both, asking, asked, own_camera, False, dist)], len(asking), len(asked)
    )
