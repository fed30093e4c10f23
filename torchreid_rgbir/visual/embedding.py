"""Draws features in the plane by t-SNE (van der Maaten and Hinton, JMLR 2008): identities by color, modalities by shape."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchreid_rgbir.extras import require
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.figure import WIDTH, as_image, message_figure, new_figure

require("visual", "sklearn")
from matplotlib import colormaps  # noqa: E402
from sklearn.manifold import TSNE  # noqa: E402

PERPLEXITY = 30  # lower for fewer than 91 points
MARKERS = {RGB: ("o", "RGB"), IR: ("^", "IR")}


def choose_identities(features: TestFeatures, num_ids: int) -> TestFeatures:
    """Selects the images of up to `num_ids` identities, spread evenly over all identities that have both modalities.

    Raises:
        ValueError: no identity has both modalities.
    """
    both = np.intersect1d(features.pids[features.modalities == RGB], features.pids[features.modalities == IR])
    if not len(both):
        raise ValueError("no identity has RGB and IR images, so modalities cannot be compared: extract both modalities")
    places = np.unique(np.linspace(0, len(both) - 1, num_ids).round().astype(int))
    return features.take(np.isin(features.pids, both[places]))


def plane(features: NDArray, distance: str = "cosine") -> NDArray:
    """Maps at least 3 features (N, D) to (N, 2) by t-SNE. The same features give the same points.

    Args:
        distance: "cosine" or "euclidean".

    Raises:
        ValueError: all features are equal, or not finite.
    """
    if not np.isfinite(features).all():
        raise ValueError("t-SNE needs finite features: check the weights of the model")
    if np.allclose(features, features[0], rtol=1e-6, atol=1e-12):  # scikit-learn would divide by zero and crash
        raise ValueError(f"all {len(features)} features are equal: the model does not distinguish any images")
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(metric=distance, perplexity=perplexity, init="pca", random_state=0).fit_transform(features)


def draw_embedding(features: TestFeatures, distance: str = "cosine", num_ids: int = 20) -> Image.Image:
    """Draws test images of both modalities, one color per identity.

    Args:
        distance: "cosine" or "euclidean".
        num_ids: largest number of identities, at most 20, because more colors look alike.

    Returns:
        An image of WIDTH x WIDTH pixels. If all features are equal, the image says so.

    Raises:
        ValueError: no identity has both modalities, or there are fewer than three images.
    """
    chosen = choose_identities(features, num_ids)
    if len(chosen) < 3:
        raise ValueError(f"t-SNE needs at least 3 images, but there are {len(chosen)}: extract more of the test set")
    try:
        points = plane(chosen.features, distance)
    except ValueError as error:
        return message_figure(str(error))
    _, labels = np.unique(chosen.pids, return_inverse=True)
    figure = new_figure(WIDTH)
    axes = figure.subplots()
    for modality, (marker, name) in MARKERS.items():
        rows = chosen.modalities == modality
        colors = colormaps["tab20"](labels[rows])
        axes.scatter(points[rows, 0], points[rows, 1], 14, colors, marker=marker, linewidths=0)
        # The legend explains the shapes, not the colors.
        axes.scatter([], [], 14, "gray", marker=marker, label=name)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=9)
    axes.set_title(f"t-SNE, {labels.max() + 1} identities", fontsize=11)
    return as_image(figure)
