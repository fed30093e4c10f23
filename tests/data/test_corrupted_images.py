"""Which corruption an image gets, and that nothing else decides on it."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.data.corrupted_images import KINDS, CorruptedImages, Corruption, choose
from torchreid_rgbir.data.corruptions import CORRUPTIONS
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.transforms import Decode
from torchreid_rgbir.modality import IR, RGB


@pytest.fixture
def dataset(tmp_path):
    """Twelve images of each modality, 32 x 64 pixels."""
    rng = np.random.default_rng(0)
    items = {}
    for modality, camid in ((RGB, 1), (IR, 3)):
        items[modality] = [Item(str(tmp_path / f"{camid}_{n}.png"), n, camid, 0, modality, 1) for n in range(12)]
        for item in items[modality]:
            pixels = rng.integers(0, 256, (8, 4, 3 if modality == RGB else 1), np.uint8).repeat(
                3 // (3 if modality == RGB else 1), 2
            )
            Image.fromarray(pixels).resize((32, 64), Image.Resampling.BICUBIC).save(item.impath)

    def make(mode, height=64, width=32):
        data = CrossModalImageDataset(items[RGB], items[IR], items[RGB], mode=mode, verbose=False)
        data.transform = Decode(height, width)
        return data

    return make


def images(dataset, seed=0, repetition=0):
    return np.stack([sample["img"].numpy() for sample in CorruptedImages(dataset, seed, repetition)])


def test_rgb_images_have_twenty_corruptions_and_ir_images_no_colors():
    assert len(CORRUPTIONS) == len(KINDS[RGB]) == len(KINDS[IR]) == 20
    assert set(KINDS[RGB]) - set(KINDS[IR]) == {"saturate"} and set(KINDS[IR]) - set(KINDS[RGB]) == {"none"}


def test_every_corruption_and_level_is_equally_likely():
    drawn = [choose(Item(f"{n}.jpg", n, 1, 0, RGB, 1), 0, 0)[:2] for n in range(20000)]
    counts = Counter(drawn)
    assert len(counts) == 100
    assert min(counts.values()) > 140 and max(counts.values()) < 265  # 200 plus or minus 4.5 standard deviations


def test_the_choice_depends_on_seed_repetition_and_image_only():
    item = Item("/data/cam1/0001/0002.jpg", 1, 1, 0, RGB, 2)
    moved = item._replace(impath="/mnt/cam1/0001/0002.jpg", dsetid=3)

    def numbers(*arguments):
        name, level, rng = choose(*arguments)
        return name, level, rng.random()

    assert numbers(item, 5, 2) == numbers(moved, 5, 2)
    others = [(item, 6, 2), (item, 5, 3), (item._replace(camid=2), 5, 2), (item._replace(modality=IR), 5, 2),
              (item._replace(impath="/data/cam1/0001/0003.jpg"), 5, 2)]  # fmt: skip
    assert len({numbers(item, 5, 2), *(numbers(*other) for other in others)}) == 6


def test_samples_have_the_labels_and_other_pixels(dataset):
    clean = dataset("gallery")
    corrupted = CorruptedImages(clean, 0, 0)
    assert len(corrupted) == len(clean) == 12 and corrupted.data == clean.data
    changed = 0
    for before, after in zip((clean[i] for i in range(12)), corrupted, strict=True):
        pixels, found = before.pop("img"), after.pop("img")
        assert before == after and pixels.shape == found.shape and pixels.dtype == found.dtype
        changed += bool((pixels != found).any())
    assert changed == 12
    np.testing.assert_array_equal(images(clean), images(dataset("gallery")))
    assert (images(clean) != images(clean, seed=1)).any() and (images(clean) != images(clean, repetition=1)).any()


def test_ir_images_stay_gray(dataset):
    for repetition in range(5):
        found = images(dataset("query"), repetition=repetition)
        np.testing.assert_array_equal(found[:, 0], found[:, 1])
        np.testing.assert_array_equal(found[:, 0], found[:, 2])


def test_a_network_of_other_input_sees_the_same_corrupted_image(dataset):
    """Images are corrupted at 288 x 144 and then resized."""
    large, small = images(dataset("gallery", 288, 144)), images(dataset("gallery", 72, 36))
    for one, other in zip(large, small, strict=True):
        resized = np.asarray(Image.fromarray(one.transpose(1, 2, 0)).resize((36, 72), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(resized.transpose(2, 0, 1), other)


def test_a_wide_image_is_corrupted_as_a_wide_image(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "torchreid_rgbir.data.corrupted_images.corrupt", lambda image, *_: sizes.append(image.size) or image
    )
    items = [Item(str(tmp_path / f"{size[0]}.png"), 0, 1, 0, RGB, 1) for size in ((256, 128), (128, 256))]
    for item, size in zip(items, ((256, 128), (128, 256)), strict=True):
        Image.new("RGB", size).save(item.impath)
    data = CrossModalImageDataset(items, items, items, mode="query", verbose=False)
    data.transform = Decode(16, 16)
    assert len(list(CorruptedImages(data, 0, 0))) == 2 and sizes == [(288, 144), (144, 288)]


@pytest.mark.parametrize("images, included", [("rgb", (True, False)), ("ir", (False, True)), ("both", (True, True))])
def test_the_modalities_of_a_setting(images, included):
    assert tuple(Corruption(images, 0, 10).includes(modality) for modality in (RGB, IR)) == included
