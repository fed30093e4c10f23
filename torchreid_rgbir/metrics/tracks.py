"""Tracks: the frames of an identity that one camera took in one pass. A protocol scores a track like one image."""

import dataclasses

import numpy as np

from torchreid_rgbir.metrics.features import TestFeatures


def mean_of_tracks(data: TestFeatures) -> TestFeatures:
    """Replaces the frames of each track by one row with the mean of their features.

    Frames belong to one track if they have the same track number, identity, camera, modality and role. An image without a
    track (number 0) stays as it is.

    Args:
        data: checked features or labels.

    Returns:
        One row per track and per image without a track, with the image number and the path of its first frame. Without
        `tracks`, the same rows.
    """
    if data.tracks is None or not data.tracks.any():
        return dataclasses.replace(data, tracks=None)
    single = np.where(data.tracks == 0, np.arange(1, len(data) + 1), 0)
    roles = np.zeros_like(data.tracks) if data.roles is None else data.roles
    keys = np.stack([data.pids, data.camids, data.modalities, roles, data.tracks, single])
    _, group = np.unique(keys, axis=1, return_inverse=True)
    group = group.reshape(-1)  # (N,), which one version of NumPy returns as (1, N)
    # The frames are added in the order of their numbers, so the order of the rows does not change a rounding.
    order = np.lexsort([group] if data.image_numbers is None else [data.image_numbers, group])
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    tracks = dataclasses.replace(data.take(order[first]), tracks=None)
    if data.features.shape[1] == 0:  # labels
        return tracks
    sums = np.add.reduceat(data.features[order].astype(np.float64), first, axis=0)
    means = sums / np.diff([*first, len(order)])[:, None]
    return dataclasses.replace(tracks, features=means.astype(data.features.dtype))
