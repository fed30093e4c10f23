"""Reads a few images for figures, as the network takes them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.embedding import choose_identities


class Samples(NamedTuple):
    """Images of one modality, RGB or IR."""

    modality: int
    images: Tensor  # (B, 3, H, W) uint8
    inputs: Tensor  # (B, 3, H, W), normalized, the input of the model


def read_samples(impaths: Sequence[str], modality: int, described: dict) -> Samples:
    """Reads at least one image of one modality, RGB or IR.

    Args:
        described: height, width, norm_mean, norm_std and ir_range, as in a checkpoint's metadata.

    Raises:
        FileNotFoundError, ValueError: an image is missing or cannot be read.
    """
    ir_range = described.get("ir_range", "dtype")  # the rule of earlier versions
    return as_samples([read_image(impath, ir_range) for impath in impaths], modality, described)


def as_samples(pictures: Sequence[Image.Image], modality: int, described: dict) -> Samples:
    """Prepares at least one RGB image in memory. The arguments are those of `read_samples`."""
    decode = Decode(described["height"], described["width"])
    images = torch.stack([decode(picture) for picture in pictures])
    normalize = BatchTransforms([], described["norm_mean"], described["norm_std"]).normalize
    return Samples(modality, images, normalize(images))


def choose_samples(features: TestFeatures, num_ids: int = 4) -> dict[int, list[str]]:
    """Selects the first image of some identities, the same identities for both modalities.

    Returns:
        Modality -> paths.

    Raises:
        ValueError: no identity has both modalities, or the features have no paths.
    """
    chosen = choose_identities(features, num_ids)
    firsts = {}
    for modality in (RGB, IR):
        rows = chosen.of(modality)
        if rows.paths is None:
            raise ValueError("the features have no paths, so there are no images to show")
        _, first = np.unique(rows.pids, return_index=True)
        firsts[modality] = rows.paths[first].tolist()
    return firsts
