"""Who or what is it: the categories nearest to an image among references of known category (claims 11 and 22)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery, is_gallery
from torchreid_rgbir.retrieval.image_table import read_image_table
from torchreid_rgbir.retrieval.reference_table import Filter, Match
from torchreid_rgbir.retrieval.references import References, Searchable


class Answer(NamedTuple):
    """Attributes:
    unknown: the best score is below the threshold.
    matches: the best reference of each category, best category first.
    """

    unknown: bool
    matches: list[Match]


def identify(
    features: NDArray,
    references: Searchable,
    topk: int = 10,
    threshold: float | None = None,
    where: Filter = Filter(),  # noqa: B008
) -> list[Answer]:
    """Ranks the references' categories for each image, each by its best reference.

    Args:
        features: (Q, D) of the images.
        references: a gallery, or references in memory.
        topk: categories an image; fewer where there are fewer.
        threshold: an image whose best score is below it is unknown; None: none is.
        where: which references take part.

    Raises:
        ValueError: features that do not fit, no reference that the filter lets through, or references of one category only and no
            threshold, so that every image would be of it.
    """
    answers: dict[int, list[Match]] = {}
    asked = np.arange(len(features))
    wanted = max(topk, 2)
    num = wanted  # of references to look at, until they are of so many categories
    while len(asked):
        unfinished = []
        for query, found in zip(asked.tolist(), references.search(features[asked], num, where), strict=True):
            best: dict[str, Match] = {}
            for match in found:
                best.setdefault(match.category, match)
            answers[query] = list(best.values())
            if len(best) < wanted and len(found) == num:
                unfinished.append(query)
        asked, num = np.array(unfinished, int), 4 * num
    if not all(answers.values()):
        raise ValueError("no reference is left to compare with: the gallery is empty, or the filter too narrow")
    if threshold is None and all(len(matches) == 1 for matches in answers.values()):
        raise ValueError(
            f"every reference is of category {answers[0][0].category}, so every image would be: add others, or give a threshold"
        )
    return [
        Answer(threshold is not None and bool(answers[query][0].score < threshold), answers[query][:topk])
        for query in range(len(features))
    ]


def open_references(
    where: str, extractor: Extractor, modality: str | None, batch_size: int = 64
) -> References | Gallery:
    """A gallery, checked against the model; or a reference folder, extracted into memory.

    Args:
        where: what `Gallery.open` or `read_image_table` takes.
        extractor: the model of the images to identify.
        modality: "rgb" or "ir", of the references; a gallery knows its own.
        batch_size: images of a folder computed at a time.

    Raises:
        FileNotFoundError, ValueError: nothing there, damaged, of another model or modality; a folder without a modality.
    """
    if is_gallery(where):
        gallery = Gallery.open(where)
        gallery.check(extractor.fingerprint, modality)
        return gallery
    rows = read_image_table(where)
    if modality is None:
        raise ValueError(f"the modality of {where} is not given: say --reference-modality rgb or ir")
    return References(rows, extractor(list(rows.paths), modality, batch_size))
