"""Vehicles, RGBNT201 and tracks: both directions, roles of queries and gallery images, and what each set ignores."""

import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.metrics.features import GALLERY_ONLY, QUERY_ONLY
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.both_directions import (
    BothDirectionsProtocol,
    BUPTCampusProtocol,
    MSVR310Protocol,
)

CAMERAS = {0: (RGB, IR), 1: (RGB, IR), 2: (RGB, IR)}  # also scenes, which count from 0
IGNORING = (BothDirectionsProtocol, MSVR310Protocol)


def with_roles(data, rng, share):
    """Some images of each modality are queries only, the others gallery images only."""
    return dataclasses.replace(data, roles=np.where(rng.random(len(data)) < share, QUERY_ONLY, GALLERY_ONLY))


@pytest.mark.parametrize("protocol", [*IGNORING, BUPTCampusProtocol])
@pytest.mark.parametrize(("kind", "distance"), [("ties", "euclidean"), ("real", "cosine"), ("real", "euclidean")])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("roles", [False, True])
def test_both_directions_equal_the_naive_reading(naive, protocol, kind, distance, seed, roles):
    rng = np.random.default_rng(seed)
    # With half of the folders absent there are identities of one camera, of one modality, and without a match.
    data = naive.random_set(rng, CAMERAS, num_ids=12, absent=0.5, kind=kind, dtype=np.float64)
    if roles:
        data = with_roles(data, rng, 0.3)
    dist = naive.distances(data, distance, kind)

    def own(q, g):
        same = data.pids[q] == data.pids[g] and data.camids[q] == data.camids[g]
        return same and protocol in IGNORING

    settings = protocol("tir").score(data, distance=distance, query="rgb")
    assert [setting["direction"] for setting in settings] == ["rgb->tir", "tir->rgb"]
    for setting, modality in zip(settings, (RGB, IR), strict=True):
        role = data.roles if roles else np.zeros(len(data), int)
        asking = np.flatnonzero((data.modalities == modality) & (role != GALLERY_ONLY))
        asked = np.flatnonzero((data.modalities != modality) & (role != QUERY_ONLY))
        trial = naive.measures(data, asking, asked, own, False, dist)
        naive.assert_setting(setting, [trial], len(asking), len(asked))
    assert protocol("tir").score(data, distance=distance) == settings[::-1]


def test_the_image_of_the_same_moment_is_ignored():
    """By hand: camera 1 sees 7 in both modalities at one moment. Only camera 2's image counts, at the second place."""
    features = np.array([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6], [0.9, 0.1]])
    data = TestFeatures(features, np.array([7, 7, 7, 8]), np.array([1, 1, 2, 1]), np.array([IR, RGB, RGB, RGB]))
    setting = BothDirectionsProtocol("nir").score(data)[0]
    assert (setting["mean"]["rank1"], setting["mean"]["mAP"]) == (0.0, 0.5)
    setting = BUPTCampusProtocol().score(data)[0]
    assert (setting["mean"]["rank1"], setting["mean"]["mAP"]) == (1.0, (1 + 2 / 3) / 2)


def test_scene_0_is_a_scene():
    data = TestFeatures(np.eye(4), np.array([1, 1, 1, 2]), np.array([0, 0, 1, 1]), np.array([IR, RGB, RGB, IR]))
    assert MSVR310Protocol("nir").ignored(1, 0, data).tolist() == [True, True, False, False]


def test_queries_that_have_no_gallery_image_left():
    """Identity 1 is in one scene only: its query is counted and not valid. If no query is valid, nothing can be measured."""
    pids, scenes = np.array([1, 1, 2, 2]), np.array([3, 3, 3, 4])
    data = TestFeatures(np.eye(4), pids, scenes, np.array([IR, RGB, IR, RGB]))
    settings = MSVR310Protocol("nir").score(data)
    assert [(s["num_queries"], s["num_valid_queries"]) for s in settings] == [(2, 1), (2, 1)]
    alone = data.take(np.array([0, 1]))
    with pytest.raises(ValueError, match="nir->rgb: none of the 1 queries has a match.*from the query's scene"):
        MSVR310Protocol("nir").check(alone)


def test_roles_of_one_modality_only():
    data = TestFeatures(np.eye(2), np.array([1, 1]), np.array([1, 2]), np.array([IR, RGB]))
    data = dataclasses.replace(data, roles=np.array([QUERY_ONLY, QUERY_ONLY]))
    with pytest.raises(ValueError, match="no rgb image"):
        BothDirectionsProtocol().check(data)
