"""Extracts images with their labels: the columns of FEATURES.npz."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import filterfalse
from pathlib import Path

import numpy as np

from torchreid_rgbir.data.folder import is_junk, parse_camera
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import modality_of
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.image_table import labeled_images


def extract(
    extractor: Extractor, images: Mapping[str, Sequence[str]], batch_size: int = 64, normalize: bool = True
) -> TestFeatures:
    """Extracts images of one or both modalities.

    An image's identity is the first folder below the given folder (see `labeled_images`), and pids number these names in
    sorted order. A folder with a negative number as its name is junk and has the pid -1. A file prefix `cN_` gives the
    camera, 0 = unknown. The images of an identity, modality and camera are numbered by path.

    Args:
        extractor: the model.
        images: "rgb" or "ir" -> images, or folders of images.
        batch_size, normalize: as for `Extractor`.

    Returns:
        One row per image, RGB first, sorted by path.

    Raises:
        FileNotFoundError, ValueError: as for `Extractor`. A missing image or folder is found before extraction starts.
    """
    labeled = {name: sorted(labeled_images(images[name])) for name in sorted(images, key=modality_of)}
    identities = {identity for found in labeled.values() for _, identity in found}
    pid_of = {identity: pid for pid, identity in enumerate(sorted(filterfalse(is_junk, identities)))}
    columns: list[tuple[int, int, int, int]] = []  # pid, camid, modality, number
    count: Counter[tuple[int, int, int]] = Counter()
    for name, found in labeled.items():
        for path, identity in found:
            group = (pid_of.get(identity, -1), parse_camera(Path(path).name), modality_of(name))
            count[group] += 1
            columns.append((*group, count[group]))
    pids, camids, modalities, numbers = np.array(columns).T
    paths = {name: [path for path, _ in found] for name, found in labeled.items()}
    features = np.concatenate([extractor(paths[name], name, batch_size, normalize) for name in paths])
    return TestFeatures(features, pids, camids, modalities, numbers, np.concatenate(list(paths.values())))
