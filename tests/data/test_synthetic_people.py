"""Drawn people: the same picture for the same words, nothing but shape shared between the modalities."""

import dataclasses
import random

import numpy as np
import pytest

from torchreid_rgbir.data.synthetic_people import paint_of, render, shape_of
from torchreid_rgbir.data.synthetic_scenes import Camera, scene
from torchreid_rgbir.modality import IR, RGB

VISIBLE = Camera(1, RGB, place=1, indoor=True)
INFRARED = Camera(3, IR, place=2, indoor=True)


def test_same_words_draw_the_same_picture_whatever_was_drawn_before():
    first = render(5, 7, VISIBLE, 2)
    render(5, 8, INFRARED, 1)
    np.random.seed(3)
    random.seed(3)

    assert np.array_equal(first, render(5, 7, VISIBLE, 2))


def test_global_random_state_is_left_alone():
    np.random.seed(1)
    random.seed(1)
    before = np.random.get_state()[1].copy(), random.getstate()

    render(0, 1, VISIBLE, 1)

    assert np.array_equal(before[0], np.random.get_state()[1])
    assert before[1] == random.getstate()


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
def test_every_word_changes_the_picture(other):
    picture = render(5, 7, VISIBLE, 2)

    assert np.corrcoef(picture.ravel(), render(*other).ravel())[0, 1] < 0.95  # more than the light


@pytest.mark.parametrize("size", [(64, 128), (48, 96), (144, 288)])
def test_size_is_width_and_height(size):
    image = render(0, 1, INFRARED, 1, size)

    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8


def test_ir_has_three_equal_channels_and_rgb_has_not():
    for pid in range(20):
        ir, rgb = render(0, pid, INFRARED, 1), render(0, pid, VISIBLE, 1)
        assert (ir == ir[..., :1]).all()
        assert (rgb != rgb[..., :1]).any(axis=-1).mean() > 0.5


def test_colours_and_reflectances_are_unrelated():
    pids = range(2000)
    rgb = [paint_of(0, pid, RGB) for pid in pids]
    ir = [paint_of(0, pid, IR) for pid in pids]
    shapes = [dataclasses.astuple(shape_of(0, pid))[:4] for pid in pids]  # the four continuous attributes

    for part in ("top", "top2", "bottom", "shoes", "hair", "hat", "bag"):
        brightness = [sum(paint[part]) for paint in rgb]
        reflectance = [paint[part][0] for paint in ir]
        # The standard deviation of a correlation of 2000 unrelated pairs is 1 / sqrt(2000) = 0.022.
        assert abs(np.corrcoef(brightness, reflectance)[0, 1]) < 0.1
        for attribute in np.transpose(shapes):
            assert abs(np.corrcoef(attribute, brightness)[0, 1]) < 0.1
            assert abs(np.corrcoef(attribute, reflectance)[0, 1]) < 0.1


def test_shapes_cover_their_ranges():
    shapes = [shape_of(0, pid) for pid in range(500)]

    assert {shape.bottom for shape in shapes} == {"trousers", "shorts", "skirt"}
    assert {shape.pattern for shape in shapes} == {"plain", "horizontal", "vertical", "checks", "logo"}
    assert {shape.bag for shape in shapes} == {"none", "sling", "handbag", "backpack"}
    assert {shape.hair for shape in shapes} == {"shaved", "short", "long"}
    assert {(shape.hat, shape.long_sleeves) for shape in shapes} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    assert {shape.period for shape in shapes} == set(range(4, 11))
    assert len(set(shapes)) == 500


def test_both_modalities_see_the_same_things_at_a_place():
    def edges(place, modality):
        tones = np.asarray(scene(0, place, modality, True, (64, 128)), dtype=np.float32).mean(axis=-1)
        return np.hypot(np.diff(tones, axis=0)[:, :-1], np.diff(tones, axis=1)[:-1]).ravel()

    same, other = [], []
    for place in range(1, 13):
        rgb = edges(place, RGB)
        same.append(np.corrcoef(rgb, edges(place, IR))[0, 1])
        other.append(np.corrcoef(rgb, edges(place + 1, IR))[0, 1])

    assert np.mean(same) > np.mean(other) + 0.1


def test_an_identity_is_nearer_to_itself_in_the_other_modality_than_to_others():
    # Edges averaged over an identity's images and compared across modalities: better than chance by far, and far from solved.
    num_ids = 80
    rgb = _edges([[render(1, pid, VISIBLE, number) for number in range(12)] for pid in range(num_ids)])
    ir = _edges([[render(1, pid, INFRARED, number) for number in range(12)] for pid in range(num_ids)])

    similarity = ir @ rgb.T  # (ids, ids), correlations
    own = np.diag(similarity)
    rank = (similarity > own[:, None]).sum(axis=1)  # 0 is best; chance (num_ids - 1) / 2 = 39.5

    assert own.mean() > (similarity.sum() - own.sum()) / (num_ids * (num_ids - 1)) + 0.05
    assert rank.mean() < 25
    assert (rank == 0).mean() < 0.8


def _edges(images):
    # images: ids x numbers x (H, W, 3).  Returns (ids, H' * W'), rows of mean 0 and length 1.
    grey = np.asarray(images, dtype=np.float32).mean(axis=-1)  # (ids, numbers, H, W)
    down, right = np.diff(grey, axis=2)[..., :-1], np.diff(grey, axis=3)[:, :, :-1]
    edges = np.hypot(down, right)
    edges = (edges / edges.mean(axis=(2, 3), keepdims=True)).mean(axis=1)  # (ids, H - 1, W - 1)
    edges = (edges + edges[..., ::-1]).reshape(len(edges), -1)  # people face both ways
    edges -= edges.mean(axis=0)  # what is the same in everybody
    return edges / np.linalg.norm(edges, axis=1, keepdims=True)
