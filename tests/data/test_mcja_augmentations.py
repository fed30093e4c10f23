"""MCJA's changes of colors against loops, one image at a time."""

import numpy as np
import pytest
import torch

from torchreid_rgbir.data.augmentations import AUGMENTATIONS, FILE_COLORS, Colors, to_unit
from torchreid_rgbir.data.luckydc_augmentations import NUM_BOX_NUMBERS, random_boxes
from torchreid_rgbir.data.mcja_augmentations import channel_cutmix, jitter_hue, spectrum_jitter, weighted_gray

COLORS = Colors(torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.5, 0.2, 0.25]))


def images_of(num, height=40, width=20):
    return torch.randint(0, 256, (num, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def numbers_of(num, width, seed=0):
    return np.random.default_rng(seed).random((num, width))


def test_weighted_gray_is_the_weighted_sum():
    images, numbers = images_of(50), numbers_of(50, 3)
    for image, gray, row in zip(images.double(), weighted_gray(images, numbers), numbers, strict=True):
        mixed = sum(weight / row.sum() * channel for weight, channel in zip(row, image, strict=True))
        assert (gray.double() - mixed.floor()).abs().max() <= (mixed % 1 > 1 - 1e-9).any()
        assert torch.equal(gray[0], gray[1]) and torch.equal(gray[0], gray[2])


def test_spectrum_jitter_blends_with_one_channel():
    images, numbers = images_of(50), numbers_of(50, 2)
    for image, blended, (channel, share) in zip(images.float(), spectrum_jitter(images, numbers), numbers, strict=True):
        gray = image[int(channel * 3)]
        assert torch.equal(blended, (gray + np.float32(share) * (image - gray)).byte())


def test_channel_cutmix_has_a_box_of_a_different_channel():
    images, numbers = images_of(300), numbers_of(300, 2 + NUM_BOX_NUMBERS)
    pairs = set()
    boxes = zip(*random_boxes(numbers[:, 2:], 20, 40, 0.33), strict=True)  # height and width are exchanged
    for image, mixed, row, (top, left, high, wide) in zip(
        images, channel_cutmix(images, numbers), numbers, boxes, strict=True
    ):
        outer = int(row[0] * 3)
        inner = (outer + 1 + int(row[1] * 2)) % 3
        expected = image[outer].clone()
        expected[top : top + high, left : left + wide] = image[inner, top : top + high, left : left + wide]
        assert torch.equal(mixed, expected.expand(3, -1, -1)) and top + high <= 20
        pairs.add((outer, inner))
    assert len(pairs) == 6


def test_hue_turns_by_up_to_a_fifth_and_keeps_gray():
    red = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    red[:, 0] = 255
    turned = jitter_hue(red, np.array([[0.5], [1.0], [0.0]]))
    # A fifth of a circle is 72 degrees: past yellow (60) by a fifth of the way to green, and as far towards blue.
    assert turned[:, :, 0, 0].tolist() == [[255, 0, 0], [204, 255, 0], [204, 0, 255]]
    gray = images_of(5)[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(jitter_hue(gray, numbers_of(5, 1)), gray)


@pytest.mark.parametrize("convert", [lambda images: images, to_unit], ids=["uint8", "float"])
def test_half_of_the_images_change_in_four_ways(convert):
    function, num_numbers, stage = AUGMENTATIONS["mcja_colors"]
    images, numbers = images_of(4000, 4, 2), numbers_of(4000, num_numbers)
    changed = function(convert(images), numbers, COLORS)
    assert changed.dtype == torch.uint8 and stage == FILE_COLORS
    choice = np.where(numbers[:, 0] < 0.5, (numbers[:, 1] * 4).astype(int), -1)
    for number, change in ((0, jitter_hue), (1, weighted_gray), (2, channel_cutmix), (3, spectrum_jitter)):
        rows = np.flatnonzero(choice == number)
        assert 430 < len(rows) < 570
        assert torch.equal(changed[rows], change(images[rows], numbers[rows, 2:]))
    assert torch.equal(changed[choice == -1], images[choice == -1])
