"""Identification: ranks the categories of labeled references for an image (claims 11 and 22)."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.retrieval.gallery import Gallery, is_gallery
from torchreid_rgbir.retrieval.reference_table import EVERYTHING, Filter, ReferenceMatch
from torchreid_rgbir.retrieval.references import References, Searchable

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.extractor import Extractor


class Answer(NamedTuple):
    """Who or what an image shows."""

    unknown: bool  # the best score is below the threshold
    matches: list[ReferenceMatch]  # the best reference of each category, best category first


def identify(
    features: NDArray,
    references: Searchable,
    topk: int = 10,
    threshold: float | None = None,
    where: Filter = EVERYTHING,
) -> list[Answer]:
    """Ranks the categories of the references for each image. A category's score is that of its best reference.

    Args:
        features: (Q, D) of the images.
        references: a gallery, or references in memory.
        topk: largest number of categories per image.
        threshold: an image whose best score is below it is unknown. None: no image is unknown.
        where: selects the references that take part.

    Raises:
        ValueError: the features do not match the references, the filter selects no reference, or all references have one
            category and there is no threshold, so that every image would be identified as that category.
    """
    ranked: dict[int, list[ReferenceMatch]] = {}
    pending = np.arange(len(features))
    wanted = max(topk, 2)
    num = wanted  # references to look at; it grows until they cover `wanted` categories
    while len(pending):
        unfinished = []
        for query, found in zip(pending.tolist(), references.search(features[pending], num, where), strict=True):
            best: dict[str, ReferenceMatch] = {}
            for match in found:
                best.setdefault(match.category, match)
            ranked[query] = list(best.values())
            if len(best) < wanted and len(found) == num:
                unfinished.append(query)
        pending, num = np.array(unfinished, int), 4 * num
    if not all(ranked.values()):
        raise ValueError(
            "there is no reference to compare with: the gallery is empty, or the filter excludes everything"
        )
    if threshold is None and all(len(matches) == 1 for matches in ranked.values()):
        raise ValueError(
            f"all references have the category {ranked[0][0].category}, so every image would be identified as it: "
            "add references of other categories, or give a threshold"
        )
    return [
        Answer(threshold is not None and bool(ranked[query][0].score < threshold), ranked[query][:topk])
        for query in range(len(features))
    ]


def open_references(
    source: str, extractor: "Extractor", modality: str | None, batch_size: int = 64
) -> References | Gallery:
    """Opens a gallery and checks that it belongs to the model, or extracts a folder of references into memory.

    Args:
        source: what `Gallery.open` or `read_image_table` takes.
        extractor: the model of the images to identify.
        modality: "rgb" or "ir", of the references. None uses the gallery's modality.
        batch_size: number of a folder's images that are extracted at a time.

    Raises:
        FileNotFoundError, ValueError: the references are missing or damaged, or belong to a different model or modality,
            or a folder is given without a modality.
    """
    if is_gallery(source):
        gallery = Gallery.open(source)
        gallery.check(extractor.fingerprint, modality)
        return gallery
    from torchreid_rgbir.retrieval.image_table import read_image_table  # it imports torch

    rows = read_image_table(source)
    if modality is None:
        raise ValueError(f"the modality of {source} is not given: add --reference-modality rgb or ir")
    return References(rows, extractor(list(rows.paths), modality, batch_size))
