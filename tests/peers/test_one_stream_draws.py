"""Samplers and augmentations of LuckyDC's baseline and MCJA beside ours: 10,000 draws of both have the same distribution."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chi2_contingency

from tests.peers.peer_code import LUCKYDC, MCJA, imported
from torchreid_rgbir import config
from torchreid_rgbir.data import SAMPLERS
from torchreid_rgbir.data.transforms import BatchTransforms
from torchreid_rgbir.modality import IR, RGB

NUM_DRAWS = 10000
HEIGHT, WIDTH = 32, 16
MEAN, STD = (np.array(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
COLOR = (200, 100, 30)  # for changes of colors: three different channels

# RGB and IR images of each identity. Some have fewer than a batch takes.
COUNTS = [(20, 10), (12, 12), (3, 9), (16, 2), (8, 8), (5, 19), (11, 7), (30, 4), (2, 1)]
LABELS = [
    (pid, camera) for pid, pair in enumerate(COUNTS) for camera, n in zip((1, 3), pair, strict=True) for _ in range(n)
]
PIDS, CAMERAS = zip(*LABELS, strict=True)


class Images:
    """Takes the place of the authors' data set: it keeps the transforms and has the labels that samplers need."""

    ids, cam_ids, num_ids = list(PIDS), list(CAMERAS), len(COUNTS)

    def __init__(self, root, mode, transform=None, transform_rgb=None, transform_ir=None):
        self.transform, self.transform_rgb, self.transform_ir = transform, transform_rgb, transform_ir

    def __len__(self):
        return len(self.ids)


@pytest.fixture
def luckydc(monkeypatch):
    with imported(LUCKYDC):
        import data

        monkeypatch.setattr(data, "SYSUDataset", Images)
        sizes = {"batch_size": 32, "p_size": 4, "k_size": 4, "image_size": (HEIGHT, WIDTH), "num_workers": 0}
        flags = {"random_flip": True, "random_crop": True, "random_erase": True, "color_jitter": False, "padding": 10}
        yield data.get_train_loader("", "identity_uniform", **sizes, **flags)


@pytest.fixture
def mcja(monkeypatch):
    with imported(MCJA):
        import data
        from data import transform

        # Their code writes into np.asarray(image), which is a copy with the Pillow 8.4 that they name, and read-only now.
        monkeypatch.setattr(transform.np, "asarray", np.array)
        monkeypatch.setattr(data, "SYSUDataset", Images)
        sizes = {"batch_size": 16, "p_size": 4, "k_size": 4, "image_size": (HEIGHT, WIDTH), "num_workers": 0}
        flags = dict.fromkeys(("random_flip", "random_crop", "random_erase", "color_jitter"), True) | {"padding": 10}
        flags |= dict.fromkeys(("vimc_wg", "vimc_cc", "vimc_sj"), True)
        yield data.get_train_loader("sysu", "", "norm_triplet", **sizes, **flags)


@pytest.fixture(autouse=True)
def _seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def same_distribution(theirs, ours):
    """Chi-square test on counts of the same number of draws. Rare values are one value."""
    rare = {value for value in theirs | ours if theirs[value] + ours[value] < 20}
    counts = [[found[value] for value in theirs | ours if value not in rare] for found in (theirs, ours)]
    for row, found in zip(counts, (theirs, ours), strict=True):
        row.append(sum(found[value] for value in rare))
    table = np.array(counts)[:, np.sum(counts, axis=0) > 0]
    assert table.shape[1] > 1
    assert chi2_contingency(table).pvalue > 1e-3, table


def transforms_of(recipe):
    cfg = config.load(recipe).data
    return BatchTransforms(cfg.transforms, cfg.norm_mean, cfg.norm_std, rgb=cfg.transforms_rgb)


def probe():
    """An image whose red channel is the row, whose green channel is the column, and whose blue channel is white."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    return pixels


def geometry(normalized):
    """What was done to the probe: (flipped, top, left) of the crop, and (area, aspect, top, left) of the erased box, in bins.

    normalized: (3, H, W)
    """
    erased = np.abs(normalized).max(axis=0) < 1e-5
    rows, columns = erased.any(axis=1).nonzero()[0], erased.any(axis=0).nonzero()[0]
    box = None
    if len(rows):
        high, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        box = (int(8 * high * wide / HEIGHT / WIDTH * 3), int(2 * np.log(high / wide)), rows[0] // 8, columns[0] // 4)
    values = np.rint((normalized * STD + MEAN) * 255)
    visible = (values[2] == 255) & ~erased
    y, x = visible.nonzero()
    if not len(y) or x.min() == x.max():
        return "hidden", box
    row, column = values[0, y, x] - y, values[1, y, x]
    flipped = bool(column[x.argmax()] < column[x.argmin()])
    left = (WIDTH - 1 - column if flipped else column) - x
    assert len(set(row)) == len(set(left)) == 1
    return (flipped, int(row[0]) + 10, int(left[0]) + 10), box


def parts(found):
    """Counts of each part of what `geometry` returned."""
    crops, boxes = zip(*found, strict=True)
    seen = [crop for crop in crops if crop != "hidden"]
    erased = [box for box in boxes if box]
    return [
        Counter(crop == "hidden" for crop in crops) + Counter({True: 20}),
        *(Counter(crop[i] for crop in seen) for i in range(3)),
        Counter(box is None for box in boxes),
        *(Counter(box[i] for box in erased) for i in range(4)),
    ]


def our_geometry(recipe, images, num_rgb):
    transforms = transforms_of(recipe)
    normalized = transforms.normalize(transforms.augment(images, num_rgb, 0, 0)).numpy()
    return [geometry(image) for image in normalized]


def test_luckydcs_flip_crop_and_erasing(luckydc):
    image = Image.fromarray(probe())
    theirs = [geometry(luckydc.dataset.transform(image).numpy()) for _ in range(NUM_DRAWS)]
    images = torch.from_numpy(probe()).permute(2, 0, 1).expand(NUM_DRAWS, -1, -1, -1)
    ours = our_geometry("luckydc_sysu", images, NUM_DRAWS // 2)
    for one, other in zip(parts(theirs), parts(ours), strict=True):
        same_distribution(one, other)
    assert {crop[1] for crop, _ in ours if crop != "hidden"} == set(range(21))


def test_mcjas_flip_crop_and_erasing(mcja):
    image = Image.fromarray(probe())
    theirs = [geometry(mcja.dataset.transform_ir(image).numpy()) for _ in range(NUM_DRAWS)]
    images = torch.from_numpy(probe()).permute(2, 0, 1).expand(NUM_DRAWS, -1, -1, -1)
    for one, other in zip(parts(theirs), parts(our_geometry("mcja_sysu", images, 0)), strict=True):
        same_distribution(one, other)


def color_change(pixels):
    """Which change of colors a plain image shows, and its size in bins.  pixels: (3, H, W), uint8."""
    values = {tuple(color) for color in pixels.reshape(3, -1).T.tolist()}
    if values == {COLOR}:
        return ("none",)
    if all(red == green == blue for red, green, blue in values):
        levels = {red for red, _, _ in values}
        if levels <= set(COLOR):  # the box may be empty
            inner = levels - {int(pixels[0, -1, 0])}  # the box never reaches the last row
            box = np.argwhere(pixels[0] != pixels[0, -1, 0])
            size = tuple((box.max(0) - box.min(0)) // 4) if inner else ()
            return "cutmix", int(pixels[0, -1, 0]), *inner, *size
        return "gray", levels.pop() // 20
    [color] = values
    if max(color) >= 198 and min(color) <= 32:
        return "hue", int(np.argmax(color)), int(np.argmin(color))
    channel = int(np.argmin(np.abs(np.subtract(color, COLOR))))
    other = (channel + 1) % 3
    return "jitter", channel, int(5 * (color[other] - COLOR[channel]) / (COLOR[other] - COLOR[channel]))


def test_mcjas_colors(mcja):
    _, choice, *_ = mcja.dataset.transform_rgb.transforms
    image = Image.new("RGB", (WIDTH, HEIGHT), COLOR)
    theirs = Counter(color_change(np.asarray(choice(image)).transpose(2, 0, 1)) for _ in range(NUM_DRAWS))
    images = torch.tensor(COLOR, dtype=torch.uint8)[:, None, None].expand(NUM_DRAWS, -1, HEIGHT, WIDTH)
    transforms = BatchTransforms([], (0.5,) * 3, (0.5,) * 3, rgb=["mcja_colors"])
    ours = Counter(color_change(pixels) for pixels in transforms.augment(images, NUM_DRAWS, 0, 0).numpy())
    same_distribution(theirs, ours)
    kinds = [
        Counter({kind: sum(n for key, n in found.items() if key[0] == kind) for kind, *_ in found})
        for found in (theirs, ours)
    ]
    assert kinds[0].keys() == kinds[1].keys() == {"none", "gray", "cutmix", "jitter", "hue"}
    same_distribution(*kinds)


def our_sampler(name, batch_size, num_instances):
    modalities = [IR if camera == 3 else RGB for camera in CAMERAS]
    return SAMPLERS[name](PIDS, modalities, batch_size, num_instances)


def draws(batches):
    """Counts of how often an image is drawn, of the identities of a batch, of how often it has an image, and of RGB images."""
    images, identities, repeats, num_rgb = Counter(), Counter(), Counter(), Counter()
    for batch in batches:
        images.update(batch)
        identities.update({PIDS[i] for i in batch})
        repeats.update(Counter(batch).values())
        num_rgb[sum(CAMERAS[i] == 1 for i in batch)] += 1
    return images, identities, repeats, num_rgb


def epochs(sampler, num):
    for epoch in range(num):
        sampler.set_epoch(epoch)
        yield list(sampler)


def test_luckydcs_sampler(luckydc):
    ours = our_sampler("luckydc", 32, 4)
    assert len(ours) == len(luckydc)
    flat = [int(i) for _ in range(NUM_DRAWS // len(luckydc) // 2) for i in luckydc.sampler]
    theirs = [flat[i : i + 32] for i in range(0, len(flat), 32)]
    found = [batch for batches in epochs(ours, len(theirs) // len(ours)) for batch in batches]
    for one, other in zip(draws(theirs)[:3], draws(found)[:3], strict=True):
        same_distribution(one, other)
    for batches in (theirs, found):
        assert {tuple(CAMERAS[i] for i in batch) for batch in batches} == {(1,) * 16 + (3,) * 16}


def test_mcjas_sampler(mcja):
    num_epochs = 2000
    theirs = []
    for _ in range(num_epochs):
        flat = [int(i) for i in mcja.sampler]
        theirs.append([flat[i : i + 16] for i in range(0, len(flat), 16)])
    ours = list(epochs(our_sampler("mcja", 16, 4), num_epochs))
    same_distribution(*(Counter(map(len, found)) for found in (theirs, ours)))
    for one, other in zip(
        *(draws([batch for batches in found for batch in batches]) for found in (theirs, ours)), strict=True
    ):
        same_distribution(one, other)
