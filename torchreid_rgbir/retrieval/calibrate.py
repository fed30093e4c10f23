"""The threshold of open-set identification: so high that a stranger is rarely given a name."""

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
    false_match_rate: share of the images that would be given a name if their own category were not among the references.
    identified: share of the images, of those whose category is there, that come out named, and rightly; NaN where none is there.
    num_images: labeled images that were compared.
    """

    threshold: float
    false_match_rate: float
    identified: float
    num_images: int


def calibrate(features: NDArray, categories: NDArray, references: Searchable, rate: float) -> Calibration:
    """Finds the lowest threshold that keeps the false-match rate.

    Each image plays the stranger: its best score among the references of all *other* categories is what a stranger like it would
    score. That score grows with the number of references, so the threshold is for references like these.

    Args:
        features: (Q, D) of labeled images.
        categories: (Q,) what they show; some may be in no reference.
        references: a gallery, or references in memory.
        rate: wanted false-match rate (false-positive identification rate, ISO/IEC 19795-1), in (0, 1).

    Raises:
        ValueError: a rate outside of (0, 1), too few images to measure it, or no reference of another category.
    """
    allowed = num_allowed(rate, len(features))
    answers = identify(features, references, topk=2)
    strangers = np.array(
        [
            next(match.score for match in answer.matches if match.category != category)
            for category, answer in zip(categories, answers, strict=True)
        ],
        np.float32,
    )
    threshold = np.nextafter(
        np.sort(strangers)[::-1][allowed], np.float32(2)
    )  # just above the first that must not pass
    own = _own(features, categories, references)
    known = ~np.isnan(own)
    return Calibration(
        float(threshold),
        float(np.mean(strangers >= threshold)),
        float(np.mean((own >= threshold) & (own > strangers), where=known)) if known.any() else math.nan,
        len(features),
    )


def num_allowed(rate: float, num_images: int) -> int:
    """How many of the images may be given a name.

    Raises:
        ValueError: a rate outside of (0, 1), or too few images to measure it.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}: a false-match rate lies between 0 and 1")
    allowed = math.floor(round(rate * num_images, 6))  # 0.29 * 100 is a little less than 29
    if allowed == 0:
        raise ValueError(
            f"{num_images} images cannot measure a false-match rate of {rate:g}: give at least {math.ceil(1 / rate)}"
        )
    return allowed


def _own(features: NDArray, categories: NDArray, references: Searchable) -> NDArray[np.float32]:
    """(Q,) the best score of each image among the references of its own category; NaN where there is none."""
    own = np.full(len(features), np.nan, np.float32)
    for category in np.unique(categories):
        images = np.flatnonzero(categories == category)
        found = references.search(features[images], 1, Filter(categories=[str(category)]))
        own[images] = [matches[0].score if matches else np.nan for matches in found]
    return own
