import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.figure import WIDTH
from torchreid_rgbir.visual.separation import PANEL, PANELS, Pairs, draw_separation, pair_distances


def naive(features, one, other, distance):
    found = {True: [], False: []}
    for i in range(len(features)):
        for j in range(len(features)):
            within = one == other
            if (features.modalities[i], features.modalities[j]) != (one, other) or (within and i >= j):
                continue
            a, b = (features.features[k].astype(float) for k in (i, j))
            cosine = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            dist = cosine if distance == "cosine" else np.linalg.norm(a - b)
            found[bool(features.pids[i] == features.pids[j])].append(dist)
    return found


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_every_pair_is_counted_once(features, distance):
    features = features.take(np.random.default_rng(1).permutation(len(features)))
    pairs = pair_distances(features, distance)
    for name, (one, other) in PANELS.items():
        expected = naive(features, one, other, distance)
        np.testing.assert_allclose(np.sort(pairs[name].intra), np.sort(expected[True]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.sort(pairs[name].inter), np.sort(expected[False]), rtol=1e-4, atol=1e-5)
    assert len(pairs["RGB with RGB"].intra) == 6 * 4 * 3 / 2


def test_a_large_set_is_thinned_evenly(features):
    pairs = pair_distances(features, max_images=6)
    assert sum(map(len, pairs["IR with IR"])) == 6 * 5 / 2
    assert sum(map(len, pairs["RGB with IR"])) == 6 * 6


def test_the_histograms_lie_where_the_distances_are(features):
    picture = draw_separation(pair_distances(features))
    assert picture.size == (WIDTH, PANEL * 3)
    pixels = np.asarray(picture)[-PANEL:].astype(int)  # RGB with IR
    green = np.argwhere((pixels[..., 1] - pixels[..., 0] > 40) & (pixels[..., 1] - pixels[..., 2] > 40))[:, 1]
    red = np.argwhere((pixels[..., 0] - pixels[..., 1] > 60) & (pixels[..., 0] - pixels[..., 2] > 60))[:, 1]
    assert len(green) > 1000 and len(red) > 1000
    assert np.median(green) < np.median(red)  # clusters: one identity's images are nearer


def test_no_pair_of_one_identity_leaves_its_histogram_out(features):
    single = features.take(np.flatnonzero((features.image_numbers == 1) & (features.camids != 2)))
    pairs = pair_distances(single)
    assert len(pairs["IR with IR"].intra) == 0 and len(pairs["RGB with IR"].intra) == 6
    assert draw_separation(pairs).size == (WIDTH, PANEL * 3)


def test_one_modality_is_not_enough(features):
    for modality in (RGB, IR):
        with pytest.raises(ValueError, match="both modalities are needed"):
            pair_distances(features.take(features.modalities == modality))


@pytest.mark.parametrize("scale", [0, 1, 1e8])
def test_equal_distances_are_drawn(features, scale):
    equal = dataclasses.replace(features, features=np.full_like(features.features, scale))
    for distance in ("cosine", "euclidean"):
        assert draw_separation(pair_distances(equal, distance), distance).size == (WIDTH, PANEL * 3)
    constant = {name: Pairs(np.full(3, scale), np.full(3, scale)) for name in PANELS}
    assert draw_separation(constant).size == (WIDTH, PANEL * 3)


def test_one_image_of_each_modality_has_a_panel_that_says_so(features, recwarn):
    pairs = pair_distances(features.take(np.flatnonzero(features.pids == 0)[[0, 4]]))
    assert [len(found.intra) + len(found.inter) for found in pairs.values()] == [0, 0, 1]
    assert draw_separation(pairs).size == (WIDTH, PANEL * 3)
    assert not recwarn.list  # matplotlib warns of a legend without entries
