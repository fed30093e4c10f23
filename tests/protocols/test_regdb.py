import numpy as np
import pytest

from torchreid_rgbir.metrics import Rerank, TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import regdb, standard

CAMERAS = {1: RGB, 2: IR}


@pytest.mark.parametrize(("kind", "distance"), [("ties", "euclidean"), ("real", "cosine"), ("real", "euclidean")])
@pytest.mark.parametrize("seed", range(6))
def test_both_directions_equal_the_naive_reading(naive, seed, kind, distance):
    data = naive.random_set(np.random.default_rng(seed), CAMERAS, num_ids=15, max_images=10, absent=0.1, kind=kind)
    dist = naive.distances(data, distance, kind)
    settings = regdb.report(data, seed + 1, distance=distance, query="rgb")
    assert [(s["split"], s["direction"]) for s in settings] == [
        (seed + 1, "visible->thermal"),
        (seed + 1, "thermal->visible"),
    ]
    for setting, modality in zip(settings, (RGB, IR), strict=True):
        asking, asked = np.flatnonzero(data.modalities == modality), np.flatnonzero(data.modalities != modality)
        trial = naive.measures(data, asking, asked, lambda q, g: False, False, dist)
        naive.assert_setting(setting, [trial], len(asking), len(asked))


def test_cameras_do_not_matter(naive):
    """Every image is shown to every query, whatever the cameras' numbers."""
    data = naive.random_set(np.random.default_rng(0), CAMERAS, kind="real")
    same = TestFeatures(data.features, data.pids, np.ones_like(data.camids), data.modalities, data.image_numbers)
    assert regdb.report(data) == regdb.report(same)


def test_the_query_modality_comes_first(naive):
    data = naive.random_set(np.random.default_rng(1), CAMERAS)
    assert [s["direction"] for s in regdb.report(data)] == ["thermal->visible", "visible->thermal"]
    assert regdb.report(data, query="rgb") == regdb.report(data)[::-1]


def test_the_order_of_the_rows_changes_nothing(naive):
    rng = np.random.default_rng(2)
    for kind in ("ties", "real"):
        data = naive.random_set(rng, CAMERAS, num_ids=20, max_images=10, kind=kind)
        no_numbers = TestFeatures(data.features, data.pids, data.camids, data.modalities)
        for _ in range(3):
            assert regdb.report(no_numbers.take(rng.permutation(len(data)))) == regdb.report(data)


def test_reranked_rows_come_last(naive):
    data = naive.random_set(np.random.default_rng(3), CAMERAS, kind="real")
    settings = regdb.report(data, rerank=Rerank(5, 2, 0.3))
    assert settings[:2] == regdb.report(data)
    assert [s["rerank"]["k1"] for s in settings[2:]] == [5, 5]


@pytest.mark.parametrize("split", [0, 11, -1])
def test_a_split_that_does_not_exist(naive, split):
    data = naive.random_set(np.random.default_rng(4), CAMERAS)
    with pytest.raises(ValueError, match=f"split {split} does not exist: RegDB has splits 1 to 10"):
        regdb.report(data, split)


def test_no_common_identity_is_an_error():
    data = TestFeatures(np.ones((2, 1)), np.array([1, 2]), np.array([1, 2]), np.array([RGB, IR]))
    with pytest.raises(ValueError, match="direction thermal->visible: none of the 1 queries"):
        regdb.report(data)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_images_that_repeat_tie_exactly_in_both_directions(distance):
    """The standard protocol without cameras asks the same question of one direction at a time."""
    rng = np.random.default_rng(5)
    pids = np.tile(np.repeat(np.arange(30), 5), 2)
    modalities = np.repeat([RGB, IR], 150)
    different = rng.standard_normal((11, 333)).astype(np.float32)
    data = TestFeatures(different[rng.integers(11, size=300)], pids, np.zeros_like(pids), modalities)
    both = regdb.report(data, distance=distance)
    for ours, query in zip(both, ("ir", "rgb"), strict=True):
        (alone,) = standard.report(data, query=query, distance=distance)
        assert ours["trials"] == alone["trials"]


def test_perfect_features_score_one(naive):
    data = naive.random_set(np.random.default_rng(6), CAMERAS, num_ids=15, max_images=10)
    perfect = TestFeatures(np.eye(61)[data.pids], data.pids, data.camids, data.modalities)
    for setting in regdb.report(perfect):
        assert set(setting["mean"].values()) == {1.0}
