"""Calibration for open-set identification: finds a threshold so high that an unknown person is rarely identified."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.identify import identify
from torchreid_rgbir.retrieval.reference_table import Filter
from torchreid_rgbir.retrieval.references import Searchable


class Calibration(NamedTuple):
    """Attributes:
    threshold: an image whose best score is below it is unknown.
    false_match_rate: share of the images that would be identified if their own category were not among the references.
    identified: share of the images with a category among the references that are identified correctly, NaN if there are none.
    num_images: number of labeled images.
    """

    threshold: float
    false_match_rate: float
    identified: float
    num_images: int


def calibrate(features: NDArray, categories: NDArray, references: Searchable, rate: float) -> Calibration:
    """Finds the lowest threshold that keeps the false-match rate.

    Each image is treated as unknown: its best score among the references of all *other* categories is the score that an
    unknown image like it would reach. That score grows with the number of references, so the threshold holds for
    references like these.

    Args:
        features: (Q, D) of labeled images.
        categories: (Q,) labels of the images. Some may not occur among the references.
        references: a gallery, or references in memory.
        rate: largest false-match rate (false-positive identification rate, ISO/IEC 19795-1), in (0, 1).

    Raises:
        ValueError: the rate is outside of (0, 1), there are too few images to measure it, or all references have one
            category.
    """
    allowed = num_allowed(rate, len(features))
    answers = identify(features, references, topk=2)
    pairs = zip(categories, answers, strict=True)
    others = [next(match.score for match in answer.matches if match.category != own) for own, answer in pairs]
    other = np.array(others, np.float32)
    # Just above the best score that must be rejected.
    threshold = np.nextafter(np.sort(other)[::-1][allowed], np.float32(2))
    own = _own_scores(features, categories, references)
    known = ~np.isnan(own)
    return Calibration(
        float(threshold),
        float(np.mean(other >= threshold)),
        float(np.mean((own >= threshold) & (own > other), where=known)) if known.any() else math.nan,
        len(features),
    )


def num_allowed(rate: float, num_images: int) -> int:
    """Returns how many of the images may be identified falsely.

    Raises:
        ValueError: the rate is outside of (0, 1), or there are too few images to measure it.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}: a false-match rate lies between 0 and 1")
    allowed = math.floor(round(rate * num_images, 6))  # 0.29 * 100 is slightly below 29
    if allowed == 0:
        raise ValueError(
            f"{num_images} images cannot measure a false-match rate of {rate:g}: give at least {math.ceil(1 / rate)}"
        )
    return allowed


def _own_scores(features: NDArray, categories: NDArray, references: Searchable) -> NDArray[np.float32]:
    """(Q,) the best score of each image among the references of its own category, NaN if there are none."""
    own = np.full(len(features), np.nan, np.float32)
    for category in np.unique(categories):
        images = np.flatnonzero(categories == category)
        found = references.search(features[images], 1, Filter(categories=[str(category)]))
        own[images] = [matches[0].score if matches else np.nan for matches in found]
    return own
