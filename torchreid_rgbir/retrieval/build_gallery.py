"""Images into a gallery, a commit every thousand, so that an interrupted filling goes on where it stopped."""

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
    where: str, extractor: Extractor, images: str | Path, modality: str, batch_size: int = 64
) -> tuple[Gallery, int, int]:
    """Extracts images and adds them to a gallery, which is made where there is none.

    Args:
        where: what `Gallery.open` takes.
        extractor: the model.
        images: what `read_image_table` takes; those whose path is in the gallery already are skipped.
        modality: "rgb" or "ir", what they are.
        batch_size: images computed at a time.

    Returns:
        The gallery, and how many images were added and skipped.

    Raises:
        FileNotFoundError, ValueError: nothing there, an image that is none, a gallery of another model or modality.
    """
    rows = read_image_table(images)
    # A row's name must not depend on where the command was run.
    rows = replace(rows, paths=np.array([str(Path(path).absolute()) for path in rows.paths], object))
    try:
        gallery = Gallery.open(where)
    except FileNotFoundError:
        gallery = Gallery.create(where, extractor.fingerprint, extractor.model.feature_dim, modality)
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
