"""Pictures of drawn people: the same picture for the same words, nothing but shape shared between the modalities, hard ones harder."""

import random

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.scenes import Camera

VISIBLE = Camera(1, RGB, place=1, indoor=True)
INFRARED = Camera(3, IR, place=2, indoor=True)

RENDERS = pytest.mark.parametrize("render", [preset.render for preset in PRESETS.values()], ids=PRESETS)


@RENDERS
def test_same_words_draw_the_same_picture_whatever_was_drawn_before(render):
    first = render(5, 7, VISIBLE, 2, (64, 128))
    render(5, 8, INFRARED, 1, (64, 128))
    np.random.seed(3)
    random.seed(3)

    assert np.array_equal(first, render(5, 7, VISIBLE, 2, (64, 128)))


@RENDERS
def test_global_random_state_is_left_alone(render):
    np.random.seed(1)
    random.seed(1)
    before = np.random.get_state()[1].copy(), random.getstate()

    for pid in range(10):
        render(0, pid, VISIBLE, 1, (64, 128))

    assert np.array_equal(before[0], np.random.get_state()[1])
    assert before[1] == random.getstate()


@RENDERS
@pytest.mark.parametrize(
    "other",
    [
        (6, 7, VISIBLE, 2),
        (5, 8, VISIBLE, 2),
        (5, 7, VISIBLE._replace(number=4), 2),
        (5, 7, VISIBLE._replace(place=4), 2),
        (5, 7, VISIBLE._replace(indoor=False), 2),
        (5, 7, VISIBLE._replace(modality=IR), 2),
        (5, 7, VISIBLE, 3),
    ],
    ids=["seed", "pid", "camera", "place", "indoor", "modality", "number"],
)
def test_every_word_changes_the_picture(render, other):
    picture = render(5, 7, VISIBLE, 2, (64, 128))

    assert np.corrcoef(picture.ravel(), render(*other, (64, 128)).ravel())[0, 1] < 0.95  # more than the light


@RENDERS
@pytest.mark.parametrize("size", [(64, 128), (48, 96), (144, 288), (16, 16), (300, 40)])
def test_size_is_width_and_height(render, size):
    for number in range(1, 9):  # with every kind of disturbance
        image = render(0, 1, INFRARED, number, size)

        assert image.shape == (size[1], size[0], 3)
        assert image.dtype == np.uint8


@RENDERS
def test_ir_has_three_equal_channels_and_rgb_has_not(render):
    for pid in range(20):
        ir, rgb = render(0, pid, INFRARED, 1, (64, 128)), render(0, pid, VISIBLE, 1, (64, 128))
        assert (ir == ir[..., :1]).all()
        assert (rgb != rgb[..., :1]).any(axis=-1).mean() > 0.5


# The means of squares of 16 x 16 pixels, row by row, in image 1 of identity 1: where they move, the preset's version has to count up.
# Means, and not all of the pixels, since another numpy or Pillow may round a few of them in another way.
KNOWN = {
    ("standard", RGB): "6f80879a5576919a55625a955f67628a627e8b67487c9f4b4755804a404a6249",
    ("standard", IR): "252d2d31243e7b3122435c352449543f2045582e1e5064241e8386211e434621",
    ("hard", RGB): "433f41473c2741473d323b484031354635373633254a3f2625453325223b2924",
    ("hard", IR): "18282b291c2d4a2d1e59512f1f635631218f7f25208d7c221b7d6f1d196d601b",
}


@pytest.mark.parametrize(("preset", "modality"), KNOWN)
def test_pictures_of_a_version_stay_what_they_are(preset, modality):
    assert PRESETS[preset].version == 1
    picture = PRESETS[preset].render(0, 1, INFRARED if modality == IR else VISIBLE, 1, (64, 128))

    known = np.frombuffer(bytes.fromhex(KNOWN[preset, modality]), np.uint8).astype(int)
    means = np.asarray(Image.fromarray(picture).convert("L").reduce(16), dtype=int).ravel()
    assert np.abs(means - known).max() <= 2


@pytest.fixture(scope="module")
def edges():
    return {name: compare_edges(preset.render) for name, preset in PRESETS.items()}


def test_an_identity_is_nearer_to_itself_in_the_other_modality_than_to_others(edges):
    # Edges averaged over an identity's images and compared across modalities: better than chance by far, and far from solved.
    own, others, rank = edges["standard"]

    assert own > others + 0.05
    assert rank.mean() < 13
    assert (rank == 0).mean() < 0.8


def test_hard_is_harder_and_not_hopeless(edges):
    own, others, rank = edges["hard"]

    assert rank.mean() > edges["standard"][2].mean() + 3
    assert rank.mean() < 19 and own > others + 0.01


def compare_edges(render, num_ids=40, num_images=6):
    """Mean correlation of an identity's edges with its own in the other modality, with those of others, and the rank of its own (ids,).

    0 is the best rank, chance (num_ids - 1) / 2 = 19.5.
    """
    numbers = range(1, num_images + 1)
    rgb = _edges([[render(1, pid, VISIBLE, number, (64, 128)) for number in numbers] for pid in range(num_ids)])
    ir = _edges([[render(1, pid, INFRARED, number, (64, 128)) for number in numbers] for pid in range(num_ids)])
    similarity = ir @ rgb.T  # (ids, ids), correlations
    own = np.diag(similarity)
    others = (similarity.sum() - own.sum()) / (num_ids * (num_ids - 1))
    return own.mean(), others, (similarity > own[:, None]).sum(axis=1)


def _edges(images):
    # images: ids x numbers x (H, W, 3).  Returns (ids, H' * W'), rows of mean 0 and length 1.
    gray = np.asarray(images, dtype=np.float32).mean(axis=-1)  # (ids, numbers, H, W)
    down, right = np.diff(gray, axis=2)[..., :-1], np.diff(gray, axis=3)[:, :, :-1]
    edges = np.hypot(down, right)
    edges = (edges / edges.mean(axis=(2, 3), keepdims=True)).mean(axis=1)  # (ids, H - 1, W - 1)
    edges = (edges + edges[..., ::-1]).reshape(len(edges), -1)  # people face both ways
    edges -= edges.mean(axis=0)  # what is the same in everybody
    return edges / np.linalg.norm(edges, axis=1, keepdims=True)
