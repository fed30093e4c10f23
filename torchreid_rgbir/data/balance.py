"""Decides how many identities of each data set a batch has, and which frames of an identity's tracks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BALANCES = ("size", "equal")


def identities_of_sets(sizes: Sequence[int], num_ids: int, balance: str) -> list[int]:
    """The number of identities of each data set in a batch. Every set has at least one.

    Args:
        sizes: number of identities of each set.
        num_ids: P, the identities of a batch.
        balance: "size": in proportion to the sizes; "equal": the same number, and one more of the first sets if P is not a
            multiple of their number.

    Raises:
        ValueError: a batch has fewer identities than there are sets, or more than a set has.

    Examples:
        >>> identities_of_sets([395, 713], 8, "size"), identities_of_sets([395, 713], 8, "equal")
        ([3, 5], [4, 4])
    """
    if num_ids < len(sizes):
        raise ValueError(
            f"a batch has {num_ids} identities, too few for one of each of the {len(sizes)} data sets: raise train.batch_size "
            "or lower sampler.num_instances"
        )
    weights = np.asarray(sizes if balance == "size" else np.ones(len(sizes)), float)
    exact = num_ids * weights / weights.sum()
    shares = np.maximum(np.floor(exact), 1).astype(int)
    while (
        shares.sum() != num_ids
    ):  # the largest remainders get one more; if sets were raised to one, the smallest get one less
        step = 1 if shares.sum() < num_ids else -1
        gap = np.where((shares > 1) | (step > 0), step * (exact - shares), -np.inf)
        shares[np.argmax(gap)] += step
    for number, (share, size) in enumerate(zip(shares.tolist(), sizes, strict=True), start=1):
        if share > size:
            raise ValueError(
                f"a batch has {share} identities of data set {number} of data.sources, but only {size} have images of both "
                "modalities: lower train.batch_size, or set sampler.balance size"
            )
    return shares.tolist()


def frames_of_tracks(
    rng: np.random.Generator, images: NDArray[np.int64], tracks: NDArray[np.int64], num: int
) -> NDArray[np.int64]:
    """Samples frames of different tracks, one of each. With fewer tracks than frames, tracks are used as evenly as possible.

    Args:
        rng: the source of the random numbers.
        images: (N,) the frames of an identity and modality.
        tracks: (N,) the track of each.
        num: K, the number of frames. If a track has too few of them, they are sampled with replacement.
    """
    order = rng.permutation(np.unique(tracks))
    counts = np.bincount(np.arange(num) % len(order), minlength=len(order))
    chosen = []
    for track, count in zip(order[:num], counts, strict=False):
        frames = images[tracks == track]
        chosen.append(rng.choice(frames, count, replace=len(frames) < count))
    return np.concatenate(chosen)
