"""What the perceptual edge loss sees of an image: its edges, Layer0's response, and how far apart VGG-16 finds the two, stage by stage."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_rgbir.data.transforms import to_unit
from torchreid_rgbir.losses.perceptual_edge import stage_distances
from torchreid_rgbir.losses.sobel import edge_map
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import DualResNet
from torchreid_rgbir.visual.figure import WIDTH, as_image, new_figure
from torchreid_rgbir.visual.samples import Samples


@torch.no_grad()
def edge_stages(model: DualResNet, samples: Samples, vgg: VGGStages) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of the perceptual edge loss of each image.

    Args:
        model: in evaluation mode.
        samples: B images of one modality; they pass that modality's Layer0.
        vgg: the stages that the model was trained with.

    Returns:
        Edge maps (B, h, w), at least 0; Layer0's response (B, h, w), the mean over its channels; and the distances
        (stages, B), whose sum over the stages is the image's loss.
    """
    maps = model.layer0[NAMES[samples.modality]](samples.inputs)  # (B, 64, h, w)
    edges = edge_map(to_unit(samples.images), (maps.shape[2], maps.shape[3]))  # (B, 1, h, w)
    return edges[:, 0], maps.mean(dim=1), stage_distances(maps, edges, vgg)


def draw_stages(model: DualResNet, groups: Sequence[Samples], vgg: VGGStages) -> Image.Image:
    """A row for each image: itself, its edge map, Layer0's response, and its distance at each stage on one scale.

    Args:
        model: in evaluation mode.
        groups: at least one.
        vgg: the stages that the model was trained with.

    Returns:
        A picture, WIDTH pixels wide.
    """
    num_rows = sum(len(group.images) for group in groups)
    tall, wide = groups[0].images.shape[2:]
    figure = new_figure(int(num_rows * WIDTH / 5 * tall / wide) + 100)
    grid = figure.subplots(num_rows, 4, squeeze=False, width_ratios=(1, 1, 1, 2))
    for axes in grid[:, :3].flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0], ("image", "edges", "Layer0", "VGG distance by stage"), strict=True):
        axes.set_title(title, fontsize=9)
    found = [edge_stages(model, group, vgg) for group in groups]
    longest = max(float(distances.max()) for _, _, distances in found)
    rows = iter(grid)
    for group, parts in zip(groups, found, strict=True):
        for image, edges, response, distances in zip(group.images, *parts[:2], parts[2].T, strict=True):
            row = next(rows)
            row[0].imshow(np.asarray(image.permute(1, 2, 0)))
            row[1].imshow(edges.numpy(), cmap="gray")
            row[2].imshow(response.numpy(), cmap="gray")
            bars = row[3].barh(range(1, len(distances) + 1), distances.numpy(), color="tab:blue")
            row[3].bar_label(bars, fmt="%.3g", fontsize=8)
            row[3].set_xlim(0, 1.4 * longest)  # room for the labels
            row[3].invert_yaxis()
            row[3].set_xticks([])
            row[3].set_yticks(range(1, len(distances) + 1))
            row[3].tick_params(labelsize=8)
            row[3].set_ylabel(NAMES[group.modality].upper(), fontsize=9)
    return as_image(figure)
