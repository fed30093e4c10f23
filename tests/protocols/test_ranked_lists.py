"""Ranked lists on hand-made features of one dimension."""

import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import StandardProtocol
from torchreid_rgbir.protocols.ranked_lists import RankedImage, ranked_lists

# (identity, camera, modality, feature)
ROWS = [
    (1, 3, IR, 0),
    (2, 3, IR, 10),
    (1, 1, RGB, 2),
    (1, 3, RGB, 0.5),
    (2, 1, RGB, 6),
    (3, 1, RGB, 1),
    (-1, 1, RGB, 0),
    (-1, 3, IR, 4),
]


@pytest.fixture
def features():
    pids, camids, modalities, values = zip(*ROWS, strict=True)
    paths = np.array([f"{row}.jpg" for row in range(len(ROWS))])
    return TestFeatures(np.array(values)[:, None], np.array(pids), np.array(camids), np.array(modalities), None, paths)


def lists(features, ignored=StandardProtocol.ignored, **options):
    return ranked_lists(features, "ir", ignored, "euclidean", **options)


def test_by_hand(features):
    """Row 3 has the camera of its query, and rows 6 and 7 are junk."""
    first = [RankedImage("5.jpg", False, 1), RankedImage("2.jpg", True, 2), RankedImage("4.jpg", False, 6)]
    second = [RankedImage("4.jpg", True, 4), RankedImage("2.jpg", False, 8), RankedImage("5.jpg", False, 9)]
    second.append(RankedImage("3.jpg", False, 9.5))
    found = lists(features)
    assert [path for path, _ in found] == ["0.jpg", "1.jpg"]
    for (_, matches), expected in zip(found, (first, sorted(second, key=lambda match: match.distance)), strict=True):
        assert [match[:2] for match in matches] == [match[:2] for match in expected]
        assert [match.distance for match in matches] == pytest.approx([match.distance for match in expected])


def test_the_lengths(features):
    assert [len(matches) for _, matches in lists(features, topk=2)] == [2, 2]
    assert [path for path, _ in lists(features, num_queries=1)] == ["0.jpg"]


def test_one_image_of_each_identity_and_camera(features):
    twice = features.take(np.repeat(np.arange(len(features)), 2))
    assert [len(matches) for _, matches in lists(twice, num_queries=100)] == [3, 3, 4, 4]


def test_features_without_paths(features):
    with pytest.raises(ValueError, match="the features have no paths"):
        lists(dataclasses.replace(features, paths=None))
