import copy

import numpy as np
import pytest
import torch

from torchreid_rgbir.losses import PerceptualEdgeLoss
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.visual.figure import WIDTH
from torchreid_rgbir.visual.samples import Samples
from torchreid_rgbir.visual.stages import draw_stages, edge_stages


@pytest.fixture(scope="module", params=["image", "conv2"])
def loss(request):
    return PerceptualEdgeLoss(request.param, "random")


def samples_of(modality):
    images = torch.full((2, 3, 64, 32), 40, dtype=torch.uint8)
    images[0, :, 20:40, 10:20] = 220  # a bright block, and an image without any edge but one line
    images[0, 2, 5:10, 5:25] = 255  # blue, which is dim in gray and bright to a network that divides it by little
    images[1, :, 30:] = 90
    return Samples(modality, images, (images / 255 - 0.5) / torch.tensor([0.5, 0.3, 0.05]).view(1, 3, 1, 1))


@pytest.mark.parametrize("modality", [RGB, IR])
def test_the_distances_are_the_parts_of_the_loss(model, loss, modality):
    samples = samples_of(modality)
    edges, response, distances = edge_stages(model, samples, loss.vgg)
    with torch.no_grad():
        maps = model.layer0[NAMES[modality]](samples.inputs)
        expected = loss(maps, samples.images / 255, 2 if modality == RGB else 0)
    assert distances.shape == (4, 2)
    torch.testing.assert_close(distances.sum(0).mean(), expected)
    torch.testing.assert_close(response, maps.mean(1))
    assert edges.shape == response.shape == (2, 16, 8)
    assert edges[1, 0].abs().max() < 1e-4 < edges[1, 7].min()  # nothing above the line, everything on it


def test_the_picture_has_a_row_for_each_image(model, loss):
    picture = draw_stages({"Layer0": model}, [samples_of(RGB), samples_of(IR)], loss.vgg)
    assert picture.size == (WIDTH, 4 * WIDTH * 2 // 5 + 100)
    pixels = np.asarray(picture).astype(int)
    bars = (np.abs(pixels - (31, 119, 180)).sum(axis=2) < 30).sum(axis=1) > 0
    assert (np.diff(bars.astype(int)) == 1).sum() >= 4  # at least the first stage's bar of each row


def test_two_models_stand_side_by_side_on_one_scale(model, loss):
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.layer0["rgb"].conv1.weight)  # a response without any structure
    groups = [samples_of(RGB)]
    picture = draw_stages({"before": other, "after": model}, groups, loss.vgg)
    assert picture.size == (WIDTH, int(2 * WIDTH / 6 * 2) + 100)
    pixels = np.asarray(picture).astype(int)
    gray, blue = (np.abs(pixels - color).sum(axis=2) < 30 for color in ((127, 127, 127), (31, 119, 180)))
    longest = [max(np.flatnonzero(row).size for row in mask[:, WIDTH * 2 // 3 :]) for mask in (gray, blue)]
    distances = [float(edge_stages(each, groups[0], loss.vgg)[2].max()) for each in (other, model)]
    assert longest[0] / longest[1] == pytest.approx(distances[0] / distances[1], rel=0.1)
