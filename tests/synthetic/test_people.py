"""Who the drawn people are: nothing but shape is shared between the modalities."""

import dataclasses

import numpy as np

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.people import paint_of, shape_of
from torchreid_rgbir.synthetic.scenes import scene


def test_colors_and_reflectances_are_unrelated():
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
