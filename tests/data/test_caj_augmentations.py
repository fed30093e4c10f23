"""CAJ's augmentations against the values that the authors' code gives normalized images."""

from math import sqrt

import pytest
import torch

from tests.data.test_transforms import pictures
from torchreid_rgbir.data.caj_augmentations import ERASED_COLOR, LUMA
from torchreid_rgbir.data.transforms import BatchTransforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM = 2400


def augmented(name, images, epoch=0):
    """The normalized images before and after an augmentation of RGB images."""
    transforms = BatchTransforms([], MEAN, STD, rgb=[name])
    return transforms.normalize(images), transforms.normalize(transforms.augment(images, len(images), epoch, 0))


def results(image):
    """What a channel change can make of a normalized image: each channel in all three, and their luma."""
    luma = sum(weight * channel for weight, channel in zip(LUMA, image, strict=True))
    return [torch.stack([gray] * 3) for gray in (*image, luma)] + [image]


def counts(name, images):
    found = [0] * 5
    for before, after in zip(*augmented(name, images), strict=True):
        [kind] = [i for i, result in enumerate(results(before)) if torch.allclose(after, result, atol=1e-5)]
        found[kind] += 1
    return found


def near(count, share):
    return abs(count - share * NUM) < 5 * sqrt(NUM * share * (1 - share))


def test_an_exchange_copies_each_normalized_channel_equally_often():
    found = counts("caj_exchange", pictures(NUM, 4, 2))
    assert all(near(count, 1 / 3) for count in found[:3]) and found[3:] == [0, 0]


def test_gray_copies_a_channel_or_the_luma_or_nothing():
    found = counts("caj_gray", pictures(NUM, 4, 2))
    shares = [1 / 4, 1 / 4, 1 / 4, 1 / 8, 1 / 8]
    assert all(near(count, share) for count, share in zip(found, shares, strict=True)), found


def test_erasing_fills_a_box_of_the_normalized_image_with_the_authors_color():
    before, after = augmented("caj_erase", pictures(NUM, 32, 16))
    changed = ((before - after).abs() > 1e-5).any(1)  # (B, H, W)
    erased = 0
    for image, pixels in zip(after, changed, strict=True):
        if not pixels.any():
            continue
        erased += 1
        rows, columns = pixels.any(1).nonzero().flatten(), pixels.any(0).nonzero().flatten()
        box = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        torch.testing.assert_close(box, torch.from_numpy(ERASED_COLOR)[:, None, None].expand_as(box))
        assert 0.01 * 32 * 16 < box[0].numel() < 0.46 * 32 * 16  # sides are rounded
    assert near(erased, 1 / 2)


def test_a_second_view_follows_the_first_with_its_own_random_numbers():
    images = pictures(6, 32, 16)
    plain = BatchTransforms(["pad_crop"], MEAN, STD, seed=3)
    both = BatchTransforms(["pad_crop"], MEAN, STD, seed=3, rgb2=["caj_exchange"])
    assert (plain.num_rgb_views, both.num_rgb_views) == (1, 2)
    one, two = plain.augment(images, 4, 2, 7), both.augment(images, 4, 2, 7)
    assert two.shape == (10, 3, 32, 16)
    torch.testing.assert_close(two[[0, 1, 2, 3, 8, 9]], one.float() / 255)
    second = both.normalize(two)[4:8]
    torch.testing.assert_close(second[:, 0], second[:, 1])
    torch.testing.assert_close(second[:, 0], second[:, 2])
    assert not torch.equal(two[4:8].amax(1) > 0, two[:4].amax(1) > 0)  # other crops, seen by their black padding


@pytest.mark.parametrize("world_size", [2])
def test_a_second_view_of_several_processes_uses_the_numbers_of_one(world_size):
    images = pictures(8, 32, 16)
    options = dict(names=["random_flip", "caj_erase"], mean=MEAN, std=STD, rgb2=["caj_exchange"], ir=["caj_gray"])
    alone = BatchTransforms(**options).augment(images, 4, 0, 0)
    parts = []
    for rank in range(world_size):
        own = torch.cat([images[2 * rank : 2 * rank + 2], images[4 + 2 * rank : 6 + 2 * rank]])
        parts.append(BatchTransforms(**options, rank=rank, world_size=world_size).augment(own, 2, 0, 0))
    shared = torch.cat([part[i : i + 2] for i in (0, 2, 4) for part in parts])
    assert torch.equal(alone, shared)
