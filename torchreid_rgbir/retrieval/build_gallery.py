"""Adds images to a gallery, with a commit every 1,024 images, so that an interrupted command can be repeated."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.image_table import read_image_table
from torchreid_rgbir.retrieval.reference_table import Filter
from torchreid_rgbir.terminal import progress

COMMIT_ROWS = 1024


def build_gallery(
    location: str, extractor: Extractor, images: str | Path, modality: str, batch_size: int = 64
) -> tuple[Gallery, int, int]:
    """Extracts images and adds them to a gallery. The gallery is made if it does not exist.

    Args:
        location: what `Gallery.open` takes.
        extractor: the model.
        images: what `read_image_table` takes. Images whose path is already in the gallery are skipped.
        modality: "rgb" or "ir", of all images.
        batch_size: images per forward pass.

    Returns:
        The gallery, the number of added images and the number of skipped ones.

    Raises:
        FileNotFoundError, ValueError: an image is missing or cannot be read, or the gallery belongs to a different model
            or modality.
    """
    rows = read_image_table(images)
    # The path of a row must not depend on the folder in which the command runs.
    rows = replace(rows, paths=np.array([str(Path(path).absolute()) for path in rows.paths], object))
    try:
        gallery = Gallery.open(location)
    except FileNotFoundError:
        gallery = Gallery.create(location, extractor.fingerprint, extractor.model.feature_dim, modality)
    gallery.check(extractor.fingerprint, modality)
    added = 0
    for start in progress(range(0, len(rows), COMMIT_ROWS), "adding", unit="commit"):
        part = rows.take(slice(start, start + COMMIT_ROWS))
        known = set(gallery.rows(Filter(paths=list(part.paths))).paths)
        new = part.take(np.array([path not in known for path in part.paths]))
        if len(new):
            gallery.add(extractor(list(new.paths), modality, batch_size), new)
        added += len(new)
    return gallery, added, len(rows) - added
