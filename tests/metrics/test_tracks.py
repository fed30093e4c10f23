"""A track is scored by the mean of its frames' features."""

import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.metrics.tracks import mean_of_tracks
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import StandardProtocol
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol, BUPTCampusProtocol


def random_tracks(seed: int, kind: str) -> TestFeatures:
    """Tracks of 1 to 5 frames, some images without a track, in random order; whole numbers make ties."""
    rng = np.random.default_rng(seed)
    rows = [
        (pid, camid, modality, track, role)
        for pid in range(8)
        for camid in (1, 2)
        for modality in (RGB, IR)
        if rng.random() < 0.8
        for track in range(rng.integers(0, 2), rng.integers(2, 4))
        for role in [int(rng.integers(1, 3))]
        for _ in range(rng.integers(1, 6))
    ]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    pids, camids, modalities, tracks, roles = np.array(rows).T
    numbers = np.arange(1, len(rows) + 1)
    features = (
        rng.integers(1, 3, (len(rows), 2)).astype(float) if kind == "ties" else rng.standard_normal((len(rows), 5))
    )
    return TestFeatures(features, pids, camids, modalities, numbers, None, tracks, roles)


def naive_tracks(data: TestFeatures) -> TestFeatures:
    """The same rows one by one, in plain Python."""
    frames: dict[tuple, list[int]] = {}
    for row in np.argsort(data.image_numbers).tolist():
        key = tuple(int(column[row]) for column in (data.pids, data.camids, data.modalities, data.roles, data.tracks))
        frames.setdefault(key if key[-1] else (*key, row), []).append(row)
    first = [rows[0] for rows in frames.values()]
    means = [sum(data.features[row] for row in rows) / len(rows) for rows in frames.values()]
    return dataclasses.replace(data.take(np.array(first)), features=np.array(means), tracks=None)


@pytest.mark.parametrize("kind", ["ties", "real"])
@pytest.mark.parametrize("protocol", [BothDirectionsProtocol("ir"), BUPTCampusProtocol("ir"), StandardProtocol()])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_those_of_the_naive_means(seed, protocol, kind):
    data = random_tracks(seed, kind)
    distance = "euclidean" if kind == "ties" else "cosine"
    scored, expected = (protocol.score(one, distance=distance) for one in (data, naive_tracks(data)))
    for one, other in zip(scored, expected, strict=True):
        assert one["num_queries"] == other["num_queries"] < len(data)
        assert one["mean"] == pytest.approx(other["mean"], abs=1e-12)


def test_by_hand():
    data = TestFeatures(
        np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 4.0], [5.0, 5.0]]),
        np.array([1, 1, 1, 1]),
        np.array([1, 1, 1, 1]),
        np.array([RGB, RGB, RGB, RGB]),
        np.array([1, 2, 3, 4]),
        np.array(["a", "b", "c", "d"]),
        np.array([2, 1, 2, 0]),
    )
    tracks = mean_of_tracks(data)
    assert sorted(zip(tracks.paths.tolist(), tracks.features.tolist(), strict=True)) == [
        ("a", [0.5, 2.0]),
        ("b", [0.0, 1.0]),
        ("d", [5.0, 5.0]),
    ]


def test_the_order_of_the_frames_changes_nothing():
    """Not even a rounding."""
    data, rng = random_tracks(7, "real"), np.random.default_rng(0)
    first = mean_of_tracks(data)
    for _ in range(3):
        again = mean_of_tracks(data.take(rng.permutation(len(data))))
        rows = np.argsort(first.image_numbers), np.argsort(again.image_numbers)
        np.testing.assert_array_equal(first.features[rows[0]], again.features[rows[1]])
        assert BothDirectionsProtocol().score(again) == BothDirectionsProtocol().score(data)


def test_images_without_tracks_stay_as_they_are():
    data = dataclasses.replace(random_tracks(1, "real"), tracks=None)
    assert mean_of_tracks(data).features is data.features
    none = dataclasses.replace(data, tracks=np.zeros(len(data), int))
    assert len(mean_of_tracks(none)) == len(data)


def test_labels_have_tracks_too():
    data = random_tracks(3, "real")
    assert mean_of_tracks(data.labels).pids.tolist() == mean_of_tracks(data).pids.tolist()


@pytest.mark.parametrize(("name", "value"), [("tracks", -1), ("roles", 3)])
def test_values_that_are_not_allowed(name, value):
    data = random_tracks(0, "real")
    wrong = np.zeros(len(data), int)
    wrong[5] = value
    with pytest.raises(ValueError, match=f"{name}: row 5 is {value}"):
        BothDirectionsProtocol().score(dataclasses.replace(data, **{name: wrong}))
