"""Adds images to a gallery, with a commit every 1,024 images, so that an interrupted command can be repeated."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from torchreid_rgbir.data.images import file_of
from torchreid_rgbir.files.paths import expand
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.image_table import read_image_table
from torchreid_rgbir.retrieval.reference_table import Filter, file_keys
from torchreid_rgbir.terminal import progress

COMMIT_ROWS = 1024


class Additions(NamedTuple):
    """The gallery after the additions, and the numbers of images."""

    gallery: Gallery
    num_new: int
    num_changed: int  # images whose files have changed, so that they were extracted again
    num_known: int  # images that were skipped


def build_gallery(
    location: str, extractor: Extractor, images: str | Path, modality: str, batch_size: int = 64
) -> Additions:
    """Extracts images and adds them to a gallery. The gallery is made if it does not exist.

    An image that the gallery holds is skipped, under whatever name, unless its file has changed since.

    Args:
        location: what `Gallery.open` takes.
        extractor: the model.
        images: what `read_image_table` takes.
        modality: "rgb" or "ir", of all images.
        batch_size: images per forward pass.

    Raises:
        FileNotFoundError, ValueError: an image is missing or cannot be read, or the gallery belongs to a different model
            or modality.
        OSError: a different process has been writing to the gallery for more than a minute.
    """
    rows = read_image_table(images)
    # The path of a row must not depend on the folder in which the command runs.
    files = np.array([str(expand(path)) for path in rows.paths], object)
    gallery = _open_or_create(location, extractor, modality)
    gallery.check_names(replace(rows, paths=files))
    stored = gallery.rows().paths
    path_of = dict(zip(file_keys(stored), stored, strict=True))
    paths = [path_of.get(key, file) for key, file in zip(file_keys(files), files, strict=True)]
    rows = replace(rows, paths=np.array(paths, object))
    num_new = num_changed = 0
    for start in progress(range(0, len(rows), COMMIT_ROWS), "adding", unit="commit"):
        commit = slice(start, start + COMMIT_ROWS)
        part, part_files = rows.take(commit), files[commit]
        known = gallery.rows(Filter(paths=list(part.paths)))
        state_of = dict(zip(known.paths, known.states, strict=True))
        before = np.array([state_of.get(path) for path in part.paths], object)  # None: the image is new
        now = np.array([_state(file, state) for file, state in zip(part_files, before, strict=True)], object)
        chosen = now != before
        if chosen.any():
            features = extractor(part_files[chosen].tolist(), modality, batch_size)
            # With `same_files`, because other commands may have added some of them meanwhile.
            gallery.add(features, replace(part, states=now).take(chosen), same_files=True)
            changed = sum(state is not None for state in before[chosen])
            num_changed += changed
            num_new += len(features) - changed
    return Additions(gallery, num_new, num_changed, len(rows) - num_new - num_changed)


def _open_or_create(location: str, extractor: Extractor, modality: str) -> Gallery:
    try:
        gallery = Gallery.open(location)
    except FileNotFoundError:
        try:
            gallery = Gallery.create(location, extractor.fingerprint, extractor.model.feature_dim, modality)
        except FileExistsError as error:
            try:  # a different command has made it meanwhile
                gallery = Gallery.open(location)
            except FileNotFoundError:
                raise error from None
    gallery.check(extractor.fingerprint, modality)
    return gallery


def _state(path: str, known: str | None) -> str:
    """Returns size, time and content hash of a file as text, or the known state if the file has not changed.

    Args:
        known: the stored state. None: the file is not stored. Empty: an earlier version stored the file without its state,
            and the file counts as unchanged.
    """
    if known == "":
        return known
    file = file_of(path)
    try:
        status = os.stat(file)
        if known is not None and known.split()[:2] == [str(status.st_size), str(status.st_mtime_ns)]:
            return known
        content = hashlib.blake2b(Path(file).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return known or ""  # the extractor reports why the file cannot be read
    if known is not None and known.split()[-1] == content:
        return known
    return f"{status.st_size} {status.st_mtime_ns} {content}"
