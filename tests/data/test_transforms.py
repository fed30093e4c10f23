"""Batched augmentation against plain loops over images."""

import math
import random

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.data.transforms import (
    AUGMENTATIONS,
    PADDING,
    BatchTransforms,
    Decode,
    channel_augment,
    pad_crop,
    random_crop,
    random_flip,
    to_unit,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(num, height=12, width=6, seed=0):
    """uint8, no two pixels of an image alike in all channels, so that an offset can be told from the pixels."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(1, 256, (num, 3, height, width), dtype=np.uint8))


def offsets(picture, output):
    """The places of `picture` (C, H', W') where `output` (C, H, W) was cut out."""
    height, width = output.shape[1:]
    return [
        (top, left)
        for top in range(picture.shape[1] - height + 1)
        for left in range(picture.shape[2] - width + 1)
        if torch.allclose(picture[:, top : top + height, left : left + width], output, atol=1e-5)
    ]


def enlarged(picture):
    """torchreid's 1.125 times larger picture by bilinear interpolation at pixel centres, a loop over pixels."""
    height, width = picture.shape[1:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    result = torch.zeros(3, tall, wide)

    def neighbours(place, size, larger):
        position = min(max((place + 0.5) * size / larger - 0.5, 0), size - 1)
        low = math.floor(position)
        return low, min(low + 1, size - 1), position - low

    for y in range(tall):
        for x in range(wide):
            top, bottom, down = neighbours(y, height, tall)
            left, right, across = neighbours(x, width, wide)
            above = picture[:, top, left] * (1 - across) + picture[:, top, right] * across
            below = picture[:, bottom, left] * (1 - across) + picture[:, bottom, right] * across
            result[:, y, x] = above * (1 - down) + below * down
    return result


@pytest.mark.parametrize("as_float", [False, True])
def test_random_flip_mirrors_about_half(as_float):
    images = to_unit(pictures(400)) if as_float else pictures(400)
    output = random_flip(images, 200, generator())
    assert output.dtype == images.dtype and output.shape == images.shape
    mirrored = 0
    for image, result in zip(images, output, strict=True):
        mirror = torch.stack([torch.stack([row.flip(0) for row in channel]) for channel in image])
        assert torch.equal(result, image) != torch.equal(result, mirror)
        mirrored += torch.equal(result, mirror)
    assert 150 < mirrored < 250


@pytest.mark.parametrize("as_float", [False, True])
def test_pad_crop_cuts_each_image_at_its_own_place(as_float):
    images = to_unit(pictures(300)) if as_float else pictures(300)
    output = pad_crop(images, 150, generator())
    assert output.dtype == images.dtype and output.shape == images.shape
    found = []
    for image, result in zip(images, output, strict=True):
        padded = torch.zeros(3, 12 + 2 * PADDING, 6 + 2 * PADDING, dtype=image.dtype)
        padded[:, PADDING : PADDING + 12, PADDING : PADDING + 6] = image
        places = offsets(padded.float(), result.float())
        assert places
        if len(places) == 1:  # a crop of padding alone has several
            found += places
    tops, lefts = {top for top, _ in found}, {left for _, left in found}
    assert tops == set(range(2 * PADDING + 1)) and len(lefts) > 10  # the first and the last place are among them
    assert len(set(found)) > 100


def test_random_crop_is_the_per_image_reference():
    images = pictures(60, height=16, width=16)
    output = random_crop(images, 30, generator())
    assert output.shape == images.shape and output.dtype == torch.float32
    cropped, found = 0, set()
    for image, result in zip(images, output, strict=True):
        plain = image.float() / 255
        if torch.equal(result, plain):
            continue
        places = offsets(enlarged(plain), result)
        assert len(places) == 1
        cropped += 1
        found.update(places)
    assert 15 < cropped < 45
    assert {top for top, _ in found} == {left for _, left in found} == {0, 1, 2}  # 18 - 16


def test_channel_augment_makes_half_of_the_rgb_images_grey():
    images = pictures(600)
    output = channel_augment(images, 400, generator())
    unit = images.float() / 255
    assert output.shape == images.shape and output.dtype == torch.float32
    assert torch.equal(output[400:], unit[400:])
    kinds = {"colour": 0, 0: 0, 1: 0, 2: 0, "grey": 0}
    for image, result in zip(unit[:400], output[:400], strict=True):
        if torch.equal(result, image):
            kinds["colour"] += 1
            continue
        assert torch.equal(result[0], result[1]) and torch.equal(result[0], result[2])
        same = [channel for channel in range(3) if torch.allclose(result[0], image[channel], atol=1e-6)]
        kinds[same[0] if same else "grey"] += 1
        if not same:  # some mix of the channels, whose weights add up to one
            assert (result[0] <= image.amax(0) + 1e-6).all() and (result[0] >= image.amin(0) - 1e-6).all()
    assert 150 < kinds["colour"] < 250
    assert all(25 < kinds[kind] < 80 for kind in (0, 1, 2, "grey"))


def test_a_grey_image_stays_as_it_is_under_channel_augment():
    grey = pictures(20)[:, :1].expand(-1, 3, -1, -1).contiguous()
    torch.testing.assert_close(channel_augment(grey, 20, generator()), grey.float() / 255)


@pytest.mark.parametrize("num_rgb", [0, 5])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_batches_of_one_modality(name, num_rgb):
    images = pictures(5)
    assert AUGMENTATIONS[name](images, num_rgb, generator()).shape == images.shape


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_input_is_left_alone(name):
    images = pictures(8)
    before = images.clone()
    AUGMENTATIONS[name](images, 4, generator())
    assert torch.equal(images, before)


def test_augment_depends_on_seed_epoch_and_batch_alone():
    images, names = pictures(16), list(AUGMENTATIONS)

    def draw(seed, epoch, batch):
        return BatchTransforms(names, MEAN, STD, seed).augment(images, 8, epoch, batch)

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draw(3, 1, 2)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's draws are disturbed
    torch.manual_seed(2)
    np.random.seed(2)
    random.seed(2)
    assert torch.equal(draw(3, 1, 2), first)

    transforms = BatchTransforms(names, MEAN, STD, 3)
    transforms.augment(images, 8, 0, 0)
    assert torch.equal(transforms.augment(images, 8, 1, 2), first)  # nor do earlier draws matter

    others = [draw(4, 1, 2), draw(3, 2, 2), draw(3, 1, 3), draw(3, 2, 1), draw(1, 3, 2)]
    for i, one in enumerate([first, *others]):
        for other in others[i:]:
            assert not torch.equal(one, other)


def test_augment_gives_unit_floats_whatever_the_names():
    images = pictures(6)
    for names in ([], ["random_flip"], ["pad_crop"], ["random_crop"], ["channel_augment"], list(AUGMENTATIONS)):
        output = BatchTransforms(names, MEAN, STD).augment(images, 3, 0, 0)
        assert output.dtype == torch.float32 and output.shape == images.shape
        assert output.min() >= 0 and output.max() <= 1
    assert torch.equal(BatchTransforms([], MEAN, STD).augment(images, 3, 0, 0), images.float() / 255)


def test_names_are_a_set():
    images = pictures(6)
    one, two = (
        BatchTransforms(names, MEAN, STD).augment(images, 3, 0, 0)
        for names in (["pad_crop", "random_flip"], ["random_flip", "pad_crop", "random_flip"])
    )
    assert torch.equal(one, two)
    alone, listed = (
        BatchTransforms(names, MEAN, STD).augment(images, 3, 0, 0) for names in ("random_flip", ["random_flip"])
    )
    assert torch.equal(alone, listed)


@pytest.mark.parametrize("names", [["random_flip", "random_erase"], "flip", [""], ["Random_Flip"]])
def test_an_unknown_name(fails, names):
    wrong = names if isinstance(names, str) else names[-1]
    with fails(ValueError, "data.transforms", repr(wrong), "pad_crop", "random_flip"):
        BatchTransforms(names, MEAN, STD)


def test_normalize_is_the_loop_over_channels():
    images = pictures(3)
    transforms = BatchTransforms([], MEAN, STD)
    for given in (images, images.float() / 255):
        output = transforms.normalize(given)
        for b in range(3):
            for c in range(3):
                expected = (images[b, c].double() / 255 - MEAN[c]) / STD[c]
                torch.testing.assert_close(output[b, c].double(), expected, atol=1e-6, rtol=1e-5)


def test_to_unit():
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    floats = torch.tensor([0.25, 0.5])
    assert to_unit(floats) is floats


def test_decode_is_a_resize():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (20, 10, 3), dtype=np.uint8))
    tensor = Decode(288, 144)(image)
    assert tensor.shape == (3, 288, 144) and tensor.dtype == torch.uint8 and tensor.is_contiguous()
    resized = np.asarray(image.resize((144, 288), Image.Resampling.BILINEAR))
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), resized)
    tensor += 1  # a tensor of its own, not a view of PIL's memory


def test_decode_and_normalize_are_torchreids_transforms():
    from torchreid_rgbir import host

    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    _, stock = host.data.transforms.build_transforms(32, 16, transforms="random_flip", norm_mean=MEAN, norm_std=STD)
    ours = BatchTransforms([], MEAN, STD).normalize(Decode(32, 16)(image)[None])[0]
    torch.testing.assert_close(ours, stock(image), atol=1e-5, rtol=1e-5)
