"""Draws what the perceptual edge loss compares: an image's edges, Layer0's response, and their distance at each VGG-16 stage."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_rgbir.data.augmentations import to_unit
from torchreid_rgbir.losses.perceptual_edge import at_most_quarter, stage_distances
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.visual.figure import WIDTH, as_image, new_figure
from torchreid_rgbir.visual.samples import Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@torch.no_grad()
def edge_stages(model: TwoStreamNetwork, samples: Samples, vgg: VGGStages) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the parts of the perceptual edge loss for each of B images, which pass their modality's Layer0.

    Args:
        model: in evaluation mode.
        vgg: the stages that the model was trained with.

    Returns:
        Non-negative edge maps (B, h, w), Layer0's response averaged over its channels (B, h, w), and the distances
        (stages, B). Their sum over the stages is the loss of an image.
    """
    maps = model.layer0[NAMES[samples.modality]](samples.inputs)  # (B, C0, h, w)
    maps = at_most_quarter(maps, *samples.images.shape[2:])
    edges = edge_map(to_unit(samples.images), (maps.shape[2], maps.shape[3]))  # (B, 1, h, w)
    return edges[:, 0], maps.mean(dim=1), stage_distances(maps, edges, vgg)


def draw_stages(models: Mapping[str, TwoStreamNetwork], groups: Sequence[Samples], vgg: VGGStages) -> Image.Image:
    """Draws a row per image: the image, its edge map, each model's Layer0 response, and their distances at each stage.

    Args:
        models: title -> model in evaluation mode: one, or the same network before and after training.
        groups: at least one.
        vgg: the stages that the models were trained with.

    Returns:
        An image WIDTH pixels wide.
    """
    num_rows = sum(len(group.images) for group in groups)
    tall, wide = groups[0].images.shape[2:]
    num_columns = 3 + len(models)
    figure = new_figure(int(num_rows * WIDTH / (num_columns + 1) * tall / wide) + 100)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, width_ratios=(*[1] * (2 + len(models)), 2))
    for axes in grid[:, :-1].flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0], ("image", "edges", *models, "VGG distance by stage"), strict=True):
        axes.set_title(title, fontsize=9)
    found = [[edge_stages(model, group, vgg) for model in models.values()] for group in groups]
    longest = max(float(distances.max()) for parts in found for _, _, distances in parts)
    rows = iter(grid)
    for group, parts in zip(groups, found, strict=True):
        for place, image in enumerate(group.images):
            row = next(rows)
            row[0].imshow(np.asarray(image.permute(1, 2, 0)))
            row[1].imshow(parts[0][0][place].numpy(), cmap="gray")
            for axes, (_, response, _) in zip(row[2:], parts, strict=False):
                axes.imshow(response[place].numpy(), cmap="gray")
            _draw_distances(row[-1], [distances[:, place] for _, _, distances in parts], longest)
            row[-1].set_ylabel(NAMES[group.modality].upper(), fontsize=9)
    return as_image(figure)


def _draw_distances(axes: "Axes", models: Sequence[Tensor], longest: float) -> None:
    """Draws a bar for each stage and model, blue for the last model, and below them the sums, which are the image's loss."""
    height = 0.8 / len(models)
    for number, distances in enumerate(models):
        stages = np.arange(1, len(distances) + 1) + (number - (len(models) - 1) / 2) * height
        color = "tab:blue" if number == len(models) - 1 else "tab:gray"
        bars = axes.barh(stages, distances.numpy(), height, color=color)
        axes.bar_label(bars, fmt="%.3g", fontsize=8 if len(models) == 1 else 6)
    axes.set_xlim(0, 1.4 * longest or 1)  # room for the labels
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.set_yticks(range(1, len(models[0]) + 1))
    axes.tick_params(labelsize=8)
    axes.set_xlabel("sum " + " → ".join(f"{float(distances.sum()):.3g}" for distances in models), fontsize=8)
