"""Batched augmentation against plain loops over images."""

import math
import random

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.data.augmentations import AUGMENTATIONS, NUM_ERASE_TRIES, PADDING, Colors, to_unit
from torchreid_rgbir.data.transforms import BatchTransforms, Decode

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


COLORS = Colors(torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.5, 0.2, 0.25]))
FILL = torch.tensor(
    [0.2 * 0.5 + 0.2, 0.5 * 0.2 + 0.5, 0.8 * 0.25 + 0.8]
)  # the mean of normalized images, as torchreid fills


# CAJ's exchange of normalized channels can leave [0, 1].
IN_RANGE = [name for name in AUGMENTATIONS if name not in ("caj_exchange", "caj_gray")]


def apply(name, images, seed=0):
    augmentation, num_draws, _ = AUGMENTATIONS[name]
    return augmentation(images, np.random.default_rng(seed).random((len(images), num_draws)), COLORS)


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
    """torchreid's 1.125 times larger picture by bilinear interpolation at pixel centers, a loop over pixels."""
    height, width = picture.shape[1:]
    tall, wide = round(height * 1.125), round(width * 1.125)
    result = torch.zeros(3, tall, wide)

    def neighbors(place, size, larger):
        position = min(max((place + 0.5) * size / larger - 0.5, 0), size - 1)
        low = math.floor(position)
        return low, min(low + 1, size - 1), position - low

    for y in range(tall):
        for x in range(wide):
            top, bottom, down = neighbors(y, height, tall)
            left, right, across = neighbors(x, width, wide)
            above = picture[:, top, left] * (1 - across) + picture[:, top, right] * across
            below = picture[:, bottom, left] * (1 - across) + picture[:, bottom, right] * across
            result[:, y, x] = above * (1 - down) + below * down
    return result


@pytest.mark.parametrize("as_float", [False, True])
def test_random_flip_mirrors_about_half(as_float):
    images = to_unit(pictures(400)) if as_float else pictures(400)
    output = apply("random_flip", images)
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
    output = apply("pad_crop", images)
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
    output = apply("random_crop", images)
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


def test_channel_augment_makes_half_of_the_images_gray():
    images = pictures(600)
    output = apply("channel_augment", images)
    unit = images.float() / 255
    assert output.shape == images.shape and output.dtype == torch.float32
    kinds = {"color": 0, 0: 0, 1: 0, 2: 0, "mix": 0}
    for image, result in zip(unit, output, strict=True):
        if torch.equal(result, image):
            kinds["color"] += 1
            continue
        assert torch.equal(result[0], result[1]) and torch.equal(result[0], result[2])
        same = [channel for channel in range(3) if torch.allclose(result[0], image[channel], atol=1e-6)]
        kinds[same[0] if same else "mix"] += 1
        if not same:  # weights of its own, which add up to one
            weights = torch.linalg.lstsq(image.flatten(1).T.double(), result[0].flatten().double()).solution
            assert weights.min() > 0 and weights.sum().item() == pytest.approx(1, abs=1e-4)
    assert 250 < kinds["color"] < 350
    assert all(45 < kinds[kind] < 105 for kind in (0, 1, 2, "mix"))


def test_a_gray_image_stays_as_it_is_under_channel_augment():
    gray = pictures(20)[:, :1].expand(-1, 3, -1, -1).contiguous()
    torch.testing.assert_close(apply("channel_augment", gray), gray.float() / 255)


def torchreids_box(draws, height, width):
    """torchreid's RandomErasing with the same random numbers in the place of its own: (top, left, height, width) or None."""
    happens, down, across, *shapes = draws
    if happens >= 0.5:
        return None
    for area, aspect in zip(shapes[:NUM_ERASE_TRIES], shapes[NUM_ERASE_TRIES:], strict=True):
        area = (0.02 + (0.4 - 0.02) * area) * height * width
        aspect = 0.3 + (1 / 0.3 - 0.3) * aspect
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if w < width and h < height:
            return math.floor(down * (height - h + 1)), math.floor(across * (width - w + 1)), h, w
    return None


@pytest.mark.parametrize(("name", "boxes"), [("random_erase", 1), ("channel_erase", 3)])
def test_erasing_is_the_loop_over_images_and_channels(name, boxes):
    images = pictures(80, height=24, width=12)
    augmentation, num_draws, _ = AUGMENTATIONS[name]
    draws = np.random.default_rng(3).random((80, num_draws))
    output = augmentation(images, draws, COLORS)
    erased, alike = 0, 0
    for image, result, row in zip(images, output, draws, strict=True):
        expected = image.float() / 255
        found = [torchreids_box(part, 24, 12) for part in np.split(row, boxes)]
        for channel in range(3):
            if box := found[channel % boxes]:
                top, left, height, width = box
                assert 0 < height < 24 and 0 < width < 12
                expected[channel, top : top + height, left : left + width] = FILL[channel]
                erased += 1
        alike += len(set(found)) == 1
        assert torch.equal(result, expected)
    assert 80 < erased < 160  # of 240 channels
    assert alike == 80 if boxes == 1 else alike < 30


def test_an_erased_pixel_is_torchreids_after_normalization():
    """torchreid's RandomErasing runs after Normalize and writes the mean."""
    from torchreid_rgbir import host

    images = pictures(40)
    transforms = BatchTransforms(["random_erase"], MEAN, STD)
    output = transforms.normalize(transforms.augment(images, 20, 0, 0))
    plain = transforms.normalize(images)
    changed = ((output - plain).abs() > 1e-4).any(1)
    assert 0.02 < changed.float().mean() < 0.3
    for channel in range(3):
        torch.testing.assert_close(
            output[:, channel][changed], torch.full((int(changed.sum()),), MEAN[channel]), atol=1e-5, rtol=0
        )
    stock = host.data.transforms.RandomErasing(probability=1, mean=MEAN)(plain[0].clone())
    assert stock[:, (stock != plain[0]).any(0)].unique(dim=1).squeeze().tolist() == pytest.approx(list(MEAN))


@pytest.mark.parametrize("num", [1, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_layout_in_memory_makes_no_difference_and_the_input_is_left_alone(name, layout, num):
    images = pictures(num).contiguous(memory_format=layout)
    before = images.clone()
    output = apply(name, images)
    assert output.shape == images.shape and torch.equal(images, before)
    assert torch.equal(output, apply(name, pictures(num)))


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


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_that_share_a_batch_augment_it_as_one(world_size):
    whole = pictures(24)
    names, rgb = ["random_crop", "pad_crop", "random_flip", "random_erase"], ["channel_augment"]
    alone = BatchTransforms(names, MEAN, STD, 7, rgb).augment(whole, 12, 1, 2)
    halves = whole.chunk(2)
    parts = []
    for rank in range(world_size):
        own = torch.cat([half.chunk(world_size)[rank] for half in halves])
        transforms = BatchTransforms(names, MEAN, STD, 7, rgb, rank=rank, world_size=world_size)
        parts.append(transforms.augment(own, len(own) // 2, 1, 2).chunk(2))
    assert torch.equal(torch.cat([part[half] for half in range(2) for part in parts]), alone)


def test_modalities_can_be_augmented_differently():
    images = pictures(40)
    unit = to_unit(images)
    both = BatchTransforms(["random_flip"], MEAN, STD).augment(images, 20, 0, 0)
    output = BatchTransforms(["random_flip"], MEAN, STD, rgb=["channel_augment"], ir=["random_erase"]).augment(
        images, 20, 0, 0
    )
    erased = (output[20:] != to_unit(both[20:])).any(1)
    assert erased.any() and not erased.all()  # by boxes, and flipped as without
    gray = (output[:20] == output[:20, :1]).flatten(1).all(1)
    assert 0 < gray.sum() < 20
    assert torch.equal(output[:20][~gray], to_unit(both[:20])[~gray])
    alone = BatchTransforms([], MEAN, STD, ir=["random_flip"]).augment(images, 20, 0, 0)
    assert torch.equal(alone[:20], images[:20]) and torch.equal(alone[20:], both[20:])
    mixed = BatchTransforms([], MEAN, STD, ir=["random_erase"]).augment(images, 20, 0, 0)
    assert torch.equal(mixed[:20], unit[:20])


@pytest.mark.parametrize("num_rgb", [0, 5])
def test_batches_of_one_modality(num_rgb):
    images = pictures(5)
    transforms = BatchTransforms(list(AUGMENTATIONS), MEAN, STD)
    assert transforms.augment(images, num_rgb, 0, 0).shape == images.shape


def test_switching_one_on_leaves_the_draws_of_the_others():
    images = pictures(30)
    crop = BatchTransforms(["pad_crop"], MEAN, STD).augment(images, 15, 0, 0)
    both = BatchTransforms(["random_flip", "pad_crop"], MEAN, STD).augment(images, 15, 0, 0)
    same = (crop == both).flatten(1).all(1)
    assert 5 < same.sum() < 25


def test_augment_gives_pictures_whatever_the_names():
    images = pictures(6)
    for names in ([], ["random_flip"], ["pad_crop"], ["random_crop"], ["channel_augment"], IN_RANGE):
        output = to_unit(BatchTransforms(names, MEAN, STD).augment(images, 3, 0, 0))
        assert output.dtype == torch.float32 and output.shape == images.shape
        assert output.min() >= 0 and output.max() <= 1
    assert torch.equal(BatchTransforms([], MEAN, STD).augment(images, 3, 0, 0), images)


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


@pytest.mark.parametrize("names", [["random_flip", "random_patch"], "flip", [""], ["Random_Flip"]])
def test_an_unknown_name(fails, names):
    wrong = names if isinstance(names, str) else names[-1]
    with fails(ValueError, "data.transforms", repr(wrong), "pad_crop", "random_flip"):
        BatchTransforms(names, MEAN, STD)


def test_a_transform_that_a_modality_cannot_have(fails):
    with fails(ValueError, "data.transforms_rgb", "'blur'"):
        BatchTransforms([], MEAN, STD, rgb=["blur"])
    with fails(ValueError, "data.transforms_ir", "one channel"):
        BatchTransforms([], MEAN, STD, ir=["channel_augment"])


def test_normalize_is_the_loop_over_channels():
    images = pictures(3)
    transforms = BatchTransforms([], MEAN, STD)
    for given in (images, images.float() / 255):
        before = given.clone()
        output = transforms.normalize(given)
        assert torch.equal(given, before) and output.is_contiguous(memory_format=torch.channels_last)
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
    assert tensor.shape == (3, 288, 144) and tensor.dtype == torch.uint8 and tensor.permute(1, 2, 0).is_contiguous()
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
