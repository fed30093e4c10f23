"""`doctor` on the images themselves: bit depths, flat images, test images that are trained on."""

import shutil

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.doctor.diagnose import diagnose

FILES = {"rgb": ["c1_a.png", "c2_a.png"], "ir": ["c3_a.png"]}


@pytest.fixture
def people(tmp_path, write_folder):
    return write_folder(tmp_path, ["a", "b", "c"], ["d", "e"], FILES)


def found(diagnosis, part):
    (finding,) = [finding for finding in diagnosis.findings if part in finding.text]
    return finding


def thermal(path, low, high, dtype=np.uint16):
    """Writes random values from `low` to `high` in place of an image."""
    values = np.random.default_rng(len(str(path))).integers(low, high + 1, (16, 8)).astype(dtype)
    path.unlink(missing_ok=True)
    Image.fromarray(values).save(path.with_suffix(".png" if dtype == np.uint16 else ".tif"))


def test_bit_depths_are_counted(people):
    for path in people.glob("*/ir/*/*.png"):
        thermal(path, 7000, 9000)
    thermal(people / "train/ir/a/c3_a.png", 20, 30, np.float32)
    diagnosis = diagnose("rgbir_folder", people)
    depths = found(diagnosis, "more than 8 bits")
    assert diagnosis.healthy and "data.ir_range auto" in depths.text
    assert depths.details == ("4 of 16 bits per channel", "1 of 32 bits per channel")
    assert not any("RGB images of mixed" in finding.text for finding in diagnosis.findings)


def test_mixed_depths_within_a_modality(people):
    thermal(people / "train/ir/a/c3_a.png", 7000, 9000)
    mixed = found(diagnose("rgbir_folder", people), "IR images of mixed bit depths")
    assert mixed.details == ("4 images of 8 bits per channel", "1 images of 16 bits per channel") and not mixed.problem


@pytest.mark.parametrize(("rule", "num_flat"), [("auto", 0), ("7000,9000", 0), ("0,60000000", 5), ("dtype", 5)])
def test_images_that_the_rule_makes_black_are_reported(people, rule, num_flat, capsys):
    for path in people.glob("*/ir/*/*.png"):
        thermal(path, 7000, 7400)
    main(["doctor", "--dataset", "rgbir_folder", "--root", str(people), "--ir-range", rule])
    printed = capsys.readouterr().out
    assert f"data.ir_range {rule}" in printed
    assert (f"note: {num_flat} images with nearly one gray value" in printed) == bool(num_flat)


def test_a_rule_that_there_is_not(people, capsys):
    assert main(["doctor", "--dataset", "rgbir_folder", "--root", str(people), "--ir-range", "9000,7000"]) == 2
    assert "data.ir_range is '9000,7000': set it to auto" in capsys.readouterr().err


def test_constant_images_are_reported_and_are_not_copies_of_each_other(people):
    for path in people.glob("*/ir/*/*.png"):
        Image.new("L", (8, 16), 77).save(path)
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and len(found(diagnosis, "nearly one gray value").details) == 5


def test_a_bright_spot_is_not_a_flat_image(people):
    image = np.zeros((16, 8), np.uint8)
    image[:4, :4] = 200
    Image.fromarray(image).save(people / "train/ir/a/c3_a.png")
    assert not diagnose("rgbir_folder", people).findings


@pytest.mark.parametrize("how", ["copied", "renamed", "linked", "other format"])
def test_test_images_that_are_trained_on(people, how, tmp_path_factory):
    source, target = people / "train/rgb/b/c2_a.png", people / "test/rgb/e/c2_x.png"
    if how == "linked":
        target.symlink_to(source)
    elif how == "other format":
        target = target.with_suffix(".tiff")
        Image.open(source).save(target)
    else:
        shutil.copy(source, target if how == "renamed" else target.with_name(source.name))
        target = target if how == "renamed" else target.with_name(source.name)
    leak = found(diagnose("rgbir_folder", people), "that training uses too")
    assert leak.problem and leak.text.startswith("1 test image")
    assert leak.details == (f"test/rgb/e/{target.name} is train/rgb/b/c2_a.png",)


def test_a_copy_of_the_training_set_is_not_a_test_set(people, capsys):
    shutil.rmtree(people / "test")
    shutil.copytree(people / "train", people / "test")
    assert main(["doctor", "--dataset", "rgbir_folder", "--root", str(people)]) == 1
    printed = capsys.readouterr().out
    assert (
        "PROBLEM: 9 test images that training uses too" in printed
        and "3 identity names in train/ and in test/" in printed
    )


def test_three_channels_of_16_bits_cannot_be_read(people, write_image):
    path = people / "train/ir/a/c3_a.png"
    path.write_bytes(b"P6 8 16 65535\n" + bytes(range(256)) * 3)
    broken = found(diagnose("rgbir_folder", people), "cannot be read")
    assert broken.problem and str(path) in broken.details[0] and "several channels of 16 bits" in broken.details[0]
