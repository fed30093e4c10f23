import numpy as np
import torch

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.activation import activation_maps, draw_activations
from torchreid_rgbir.visual.figure import WIDTH
from torchreid_rgbir.visual.samples import Samples


def samples_of(modality, number=2):
    images = torch.randint(0, 256, (number, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Samples(modality, images, images / 128 - 1)


def test_the_map_is_the_energy_of_layer4(model):
    samples = samples_of(IR)
    with torch.no_grad():
        maps = model(samples.inputs, 0, return_featuremaps=True)
    found = activation_maps(model, samples)
    assert found.shape == (2, 64, 32)
    for image in range(2):
        energy = (maps[image] ** 2).sum(0)
        energy = (energy - energy.min()) / (energy.max() - energy.min())
        row, column = divmod(int(energy.argmax()), energy.shape[1])
        size = 64 // energy.shape[0]
        torch.testing.assert_close(
            found[image, row * size + size // 2, column * size + size // 2], torch.tensor(1.0), atol=0.15, rtol=0
        )
        assert found[image].min() >= 0 and found[image].max() <= 1


def test_each_modality_passes_its_own_stream(model):
    rgb, ir = (activation_maps(model, samples_of(modality)) for modality in (RGB, IR))
    assert (rgb - ir).abs().max() > 0.01


def test_groups_of_unequal_size_are_drawn_side_by_side(model):
    one = draw_activations(model, [samples_of(RGB, 1)])
    both = draw_activations(model, [samples_of(RGB, 3), samples_of(IR, 1)])
    assert one.size == (WIDTH, WIDTH + 100)  # 1 row of 2 pictures, each twice as high as wide
    assert both.size == (WIDTH, 3 * WIDTH // 2 + 100)
    pixels = np.asarray(both)
    assert pixels[WIDTH // 2 + 150 : -20, WIDTH // 2 + 20 :].min() == 255  # the IR columns have one row
    assert pixels[WIDTH // 2 + 150 : -20, : WIDTH // 2].std() > 30
