"""How far apart images of one identity and of different identities are, within each modality and across the two."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.figure import as_image, new_figure

PANELS = {"RGB with RGB": (RGB, RGB), "IR with IR": (IR, IR), "RGB with IR": (RGB, IR)}
PANEL = 460  # pixels, height of a panel
BINS = 60


class Pairs(NamedTuple):
    """Distances of pairs of images; each pair once, no image with itself."""

    intra: NDArray  # of the same identity
    inter: NDArray  # of two identities


def pair_distances(features: TestFeatures, distance: str = "cosine", max_images: int = 1500) -> dict[str, Pairs]:
    """The distances between images, sorted by whom they join.

    Args:
        features: of test images, both modalities.
        distance: "cosine" or "euclidean".
        max_images: of a modality; of more, so many are taken, evenly spaced in the order of identities.

    Returns:
        The keys of `PANELS`, each with its pairs.

    Raises:
        ValueError: a modality without images.
    """
    sides = {modality: _thinned(features.of(modality), max_images) for modality in (RGB, IR)}
    found = {}
    for name, (one, other) in PANELS.items():
        dist = distances(sides[one].features, sides[other].features, distance)
        same = sides[one].pids[:, None] == sides[other].pids[None, :]
        counted = np.triu(np.ones_like(same), 1) if one == other else np.ones_like(same)
        found[name] = Pairs(dist[same & counted], dist[~same & counted])
    return found


def draw_separation(pairs: dict[str, Pairs], distance: str = "cosine") -> Image.Image:
    """Histograms of `pair_distances`, one above the other on one scale, each scaled to an area of 1.

    Args:
        pairs: of `pair_distances`.
        distance: its name, for the axis.

    Returns:
        WIDTH x 3 PANEL pixels.
    """
    values = np.concatenate([values for found in pairs.values() for values in found])
    edges = np.linspace(values.min(), max(values.max(), values.min() + 1e-6), BINS + 1)
    figure = new_figure(PANEL * len(pairs))
    for axes, (name, found) in zip(figure.subplots(len(pairs), sharex=True), pairs.items(), strict=True):
        for label, color, part in (("same identity", "tab:green", found.intra), ("others", "tab:red", found.inter)):
            if len(part):
                label = f"{label}: {len(part)} pairs, mean {part.mean():.2f}"
                axes.hist(part, edges, density=True, color=color, alpha=0.5, label=label)
        axes.set_title(name, fontsize=11)
        axes.tick_params(labelsize=9)
        axes.set_yticks([])
        axes.legend(fontsize=8)
    axes.set_xlabel(f"{distance} distance", fontsize=9)
    return as_image(figure)


def _thinned(features: TestFeatures, max_images: int) -> TestFeatures:
    if len(features) <= max_images:
        return features
    return features.take(np.linspace(0, len(features) - 1, max_images).round().astype(int))
