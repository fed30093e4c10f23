"""Draws distances between images of one identity and of different identities, within each modality and across both."""

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
    """Distances of pairs of images. Each pair occurs once, and no image is paired with itself."""

    intra: NDArray  # of the same identity
    inter: NDArray  # of different identities


def pair_distances(features: TestFeatures, distance: str = "cosine", max_images: int = 1500) -> dict[str, Pairs]:
    """Computes the distances between test images of one identity and of different identities.

    Args:
        distance: "cosine" or "euclidean".
        max_images: of each modality. If there are more, this number is taken, evenly spaced in the order of identities.

    Returns:
        The pairs of each key of `PANELS`.

    Raises:
        ValueError: a modality has no images.
    """
    sides = {}
    for modality in (RGB, IR):
        images = features.of(modality)
        rows = np.linspace(0, len(images) - 1, min(len(images), max_images)).round().astype(int)
        sides[modality] = images.take(rows)
    found = {}
    for name, (one, other) in PANELS.items():
        dist = distances(sides[one].features, sides[other].features, distance)
        same = sides[one].pids[:, None] == sides[other].pids[None, :]
        counted = np.triu(np.ones_like(same), 1) if one == other else np.ones_like(same)
        found[name] = Pairs(dist[same & counted], dist[~same & counted])
    return found


def draw_separation(pairs: dict[str, Pairs], distance: str = "cosine") -> Image.Image:
    """Draws the histograms of `pair_distances` one above the other, on one scale, each with an area of 1.

    Args:
        distance: its name, for the axis.

    Returns:
        An image of WIDTH x 3 PANEL pixels.
    """
    values = np.concatenate([values for found in pairs.values() for values in found])
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, max(high, low + 1e-6 * max(1, abs(low))), BINS + 1)  # equal distances have one bar
    figure = new_figure(PANEL * len(pairs))
    for axes, (name, found) in zip(figure.subplots(len(pairs), sharex=True), pairs.items(), strict=True):
        for label, color, part in zip(
            ("same identity", "different identities"), ("tab:green", "tab:red"), found, strict=True
        ):
            if len(part):
                label = f"{label}: {len(part)} pairs, mean {part.mean():.2f}"
                axes.hist(part, edges, density=True, color=color, alpha=0.5, label=label)
        axes.set_title(name, fontsize=11)
        axes.tick_params(labelsize=9)
        axes.set_yticks([])
        if len(found.intra) + len(found.inter):
            axes.legend(fontsize=8)
        else:
            axes.text(0.5, 0.5, "there are no pairs of images", transform=axes.transAxes, ha="center", fontsize=9)
    axes.set_xlabel(f"{distance} distance", fontsize=9)
    return as_image(figure)
