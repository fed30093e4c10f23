"""Vehicles and people in several spectra: what each spectrum shows, and the layouts that contain them."""

import numpy as np
import pytest
from PIL import Image

from tests.data_layouts import Fails
from torchreid_rgbir.data.images import part_path, read_image
from torchreid_rgbir.doctor import diagnose
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.synthetic.plan import PERSON, VEHICLE, ImageSpec
from torchreid_rgbir.synthetic.scenes import Camera
from torchreid_rgbir.synthetic.spectra import person_paint, render_spectra
from torchreid_rgbir.synthetic.vehicle import draw_vehicle, vehicle_of, vehicle_paint
from torchreid_rgbir.synthetic.write import synthesize

SPECTRA = ("rgb", "nir", "tir")


def vehicle(angle, glows=False, pid=1, spectrum="rgb"):
    image = Image.new("RGB", (256, 128))
    draw_vehicle(image, vehicle_of(0, pid), vehicle_paint(0, pid, spectrum), angle, glows)
    return np.asarray(image).astype(int)


def test_the_parts_of_a_file_show_one_moment():
    spec = ImageSpec("a.jpg", 3, Camera(2, RGB, 2, False), 1, SPECTRA, VEHICLE)
    together = render_spectra(0, spec, (32, 64))
    assert together.shape == (32, 3 * 64, 3) and together.dtype == np.uint8
    alone = [render_spectra(0, spec._replace(spectra=(name,)), (32, 64)) for name in SPECTRA]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))
    assert not np.array_equal(together[..., 0], together[..., 1])  # RGB has colors
    assert np.array_equal(together[:, 64:, 0], together[:, 64:, 1])  # infrared has none


def test_an_identity_looks_the_same_and_another_different():
    specs = [ImageSpec("a.jpg", pid, Camera(2, RGB, 2, False), 1, SPECTRA, VEHICLE) for pid in (3, 3, 4)]
    one, again, other = (render_spectra(0, spec, (32, 64)) for spec in specs)
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_colors_of_the_spectra_are_independent():
    values = {name: [vehicle_paint(0, pid, name)["body"][0] for pid in range(300)] for name in SPECTRA}
    assert abs(np.corrcoef(values["rgb"], values["nir"])[0, 1]) < 0.15
    assert abs(np.corrcoef(values["nir"], values["tir"])[0, 1]) < 0.15


def test_lights_glow_in_the_thermal_spectrum():
    dark, glowing = (vehicle(0.0, glows, spectrum="tir") for glows in (False, True))
    assert glowing.sum() > 1.05 * dark.sum() and (glowing >= dark).all()
    assert vehicle_paint(0, 1, "tir")["headlight"] == (255, 255, 255)


def test_views_differ_and_the_side_is_the_longest():
    def width(image):
        return np.ptp(np.flatnonzero(image.any(axis=(0, 2))))

    front, side, back = (vehicle(angle) for angle in (0.0, np.pi / 2, np.pi))
    assert width(side) > 1.5 * width(front)
    assert not np.array_equal(front, back)
    np.testing.assert_allclose(vehicle(-np.pi / 2), side[:, ::-1], atol=1)


def test_a_pattern_of_the_clothes_is_invisible_in_the_thermal_spectrum():
    paint = person_paint(0, 1, "tir")
    assert paint["top"] == paint["top2"] and min(paint["skin"]) > max(paint["top"])
    assert person_paint(0, 1, "nir")["top"] != person_paint(0, 1, "nir")["top2"]


@pytest.mark.parametrize("layout", ["rgbnt100", "rgbn300", "msvr310", "rgbnt201"])
def test_a_layout_is_healthy_and_has_the_spectra(layout, tmp_path):
    made = synthesize(layout, tmp_path / "set", 5, 2, size=(16, 32), workers=1)
    diagnosis = diagnose(layout, tmp_path / "set")
    assert diagnosis.healthy and diagnosis.synthetic
    assert made["num_ir_images"] == made["num_rgb_images"] * (1 if layout == "rgbn300" else 2)
    found = {count.what.removeprefix("nir, tir: "): count.found for count in diagnosis.counts}
    assert (found["training identities"], found["test identities"]) == (4, 1)
    if layout != "rgbnt201":
        assert 2 * found["query images (IR)"] == found["gallery images (RGB)"]


def test_vehicles_are_wider_than_high(tmp_path):
    synthesize("rgbnt100", tmp_path / "set", 5, 1, size=(16, 32), workers=1)
    file = str(tmp_path / "set/rgbir/query/0005_c0001_000.jpg")
    assert read_image(part_path(file, 3, 3)).size == (32, 16)
    spec = ImageSpec("a.jpg", 3, Camera(2, RGB, 2, False), 1, ("tir",), PERSON)
    assert render_spectra(0, spec, (16, 32)).shape == (32, 16, 3)


def test_there_is_no_hard_preset(tmp_path):
    with Fails(ValueError, "rgbnt100", "preset standard only"):
        synthesize("rgbnt100", tmp_path / "set", 5, 1, preset="hard", workers=1)
