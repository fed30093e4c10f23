"""Draws where the network responds in an image: Layer4's maps of either stream over the image, like torchreid's visactmap."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from torchreid_rgbir.losses.vgg import min_max
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.visual.figure import WIDTH, as_image, new_figure
from torchreid_rgbir.visual.samples import Samples


@torch.no_grad()
def activation_maps(model: TwoStreamNetwork, samples: Samples) -> Tensor:
    """Computes the energy of Layer4's maps, the sum of their squares over the channels, for B images of one modality.

    Args:
        model: in evaluation mode. The images pass their modality's stream.

    Returns:
        (B, H, W) in [0, 1] on the CPU, enlarged to the size of the images.
    """
    inputs = samples.inputs.to(next(model.parameters()).device)
    maps = model.stream(samples.modality)(inputs, return_featuremaps=True).cpu()  # (B, D, h, w)
    energy = min_max(maps.square().sum(dim=1, keepdim=True))  # (B, 1, h, w)
    return F.interpolate(energy, samples.images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def draw_activations(model: TwoStreamNetwork, groups: Sequence[Samples]) -> Image.Image:
    """Draws each image beside its activation map, with a pair of columns for each of at least one group.

    Args:
        model: in evaluation mode.

    Returns:
        An image WIDTH pixels wide.
    """
    num_rows, num_columns = max(len(group.images) for group in groups), 2 * len(groups)
    tall, wide = groups[0].images.shape[2:]
    figure = new_figure(int(num_rows * WIDTH / num_columns * tall / wide) + 100)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for column, group in enumerate(groups):
        maps = activation_maps(model, group)
        pair = grid[:, 2 * column : 2 * column + 2]
        pair[0, 0].set_title(NAMES[group.modality].upper(), fontsize=9)
        pair[0, 1].set_title("response", fontsize=9)
        for (left, right), image, energy in zip(pair, group.images, maps, strict=False):
            for axes in (left, right):
                axes.imshow(np.asarray(image.permute(1, 2, 0)))
            right.imshow(energy.numpy(), cmap="jet", alpha=0.5, vmin=0, vmax=1)
    return as_image(figure)
