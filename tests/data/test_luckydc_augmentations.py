"""Gray padding and erasing with the mean against loops, one image at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from torchreid_rgbir.data.augmentations import AUGMENTATIONS, Colors, to_unit
from torchreid_rgbir.data.luckydc_augmentations import NUM_BOX_NUMBERS, random_boxes

COLORS = Colors(torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.5, 0.2, 0.25]))


def images_of(num, height=40, width=20):
    return torch.randint(0, 256, (num, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def apply(name, images):
    function, num_numbers, _ = AUGMENTATIONS[name]
    numbers = np.random.default_rng(1).random((len(images), num_numbers))
    before = images.clone()
    changed = function(images, numbers, COLORS)
    assert torch.equal(images, before) and changed.shape == images.shape
    return changed, numbers


@pytest.mark.parametrize("convert", [lambda images: images, to_unit], ids=["uint8", "float"])
def test_gray_pad_crop_is_the_loop(convert):
    images = convert(images_of(60))
    changed, numbers = apply("gray_pad_crop", images)
    gray = 127 if images.dtype == torch.uint8 else 127 / 255
    for image, result, row in zip(images, changed, numbers, strict=True):
        top, left = (int(number * 21) for number in row)
        padded = F.pad(image, (10, 10, 10, 10), value=gray)
        assert torch.equal(result, padded[:, top : top + 40, left : left + 20])
    assert changed.dtype == images.dtype


@pytest.mark.parametrize(("name", "largest"), [("luckydc_erase", 0.33), ("mcja_erase", 0.30)])
def test_half_of_the_images_have_a_box_of_the_mean(name, largest):
    images = images_of(2000)
    changed, numbers = apply(name, images)
    mean = COLORS.mean[:, None, None]
    num_erased = 0
    for image, result, row in zip(to_unit(images), changed, numbers, strict=True):
        erased = (result == mean).all(dim=0)
        assert torch.equal(result, torch.where(erased, mean, image))
        if row[0] >= 0.5:
            assert not erased.any()
            continue
        rows, columns = erased.any(dim=1).nonzero(), erased.any(dim=0).nonzero()
        if len(rows):
            num_erased += 1
            high, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
            assert int(erased.sum()) == high * wide
            # Rounding moves a side by up to half a pixel.
            assert (high - 0.5) * (wide - 0.5) <= largest * 800 and (high + 0.5) * (wide + 0.5) >= 0.02 * 800
            assert (high - 0.5) / (wide + 0.5) <= 3.3 and (high + 0.5) / (wide - 0.5) >= 0.3
    assert 900 < num_erased < 1100


def test_boxes_lie_in_the_image_and_reach_its_edges():
    numbers = np.random.default_rng(2).random((20000, NUM_BOX_NUMBERS))
    top, left, high, wide = random_boxes(numbers, 24, 12, 0.33)
    there = high > 0
    assert there.mean() > 0.999
    top, left, high, wide = (values[there] for values in (top, left, high, wide))
    assert top.min() == left.min() == 0 and (top + high).max() == 24 and (left + wide).max() == 12
    assert high.max() < 24 and wide.max() < 12 and wide.min() > 0


def test_without_a_box_that_fits_nothing_is_erased():
    numbers = np.zeros((1, NUM_BOX_NUMBERS))
    numbers[:, 2:] = 0.999  # a third of a flat image, three times as high as wide
    assert random_boxes(numbers, 8, 100, 0.33)[2].tolist() == [0]
