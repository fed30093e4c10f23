import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.data.images import list_images, read_image
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.retrieval import Extractor
from torchreid_rgbir.retrieval.extractor import image_list


@pytest.fixture(scope="module")
def paths(photos):
    return [image for folder in sorted((photos / "ir").iterdir()) for image in list_images(folder)]


def naive(weights, paths, modality):
    """One image at a time, from the checkpoint's contents by hand: resize, scale, normalize, that stream's features."""
    state = torch.load(weights, weights_only=True)
    model = MODELS["dual_resnet18"](7, pretrained=False, last_stride=2)
    model.load_state_dict(state["state_dict"])
    model.eval()
    features = []
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB").resize((32, 64), Image.Resampling.BILINEAR)) / 255
        inputs = torch.tensor((pixels - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]).permute(2, 0, 1).float()
        with torch.no_grad():
            features.append(model.stream(modality)(inputs[None])[0])
    return torch.stack(features).numpy()


@pytest.mark.parametrize(("modality", "number"), [("rgb", 0), ("ir", 1)])
def test_features_are_those_of_the_model(device, weights, paths, modality, number):
    extractor = Extractor.load(weights, device)
    tolerance = {"rtol": 1e-2, "atol": 1e-3} if device.type == "cuda" else {"rtol": 1e-4, "atol": 1e-5}
    expected = naive(weights, paths, number)
    found = extractor(paths, modality, batch_size=3, normalize=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, **tolerance)
    unit = extractor(paths, modality)
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), **tolerance)


def test_every_kind_of_image_gives_the_same(extractor, photos, paths):
    expected = extractor(paths, "ir")
    pictures = [read_image(path) for path in paths]
    for images in (photos / "ir", str(photos / "ir"), pictures, [np.asarray(picture) for picture in pictures]):
        np.testing.assert_array_equal(extractor(images, "ir"), expected)
    gray = np.asarray(pictures[0].convert("L"))
    both = extractor([gray, Image.fromarray(gray), np.repeat(gray[:, :, None], 3, 2)], "ir")
    np.testing.assert_allclose(both, both[:1].repeat(3, 0), atol=1e-6)
    for one in (paths[0], pictures[0], np.asarray(pictures[0])):
        assert extractor(one, "ir").shape == (1, 512)


def test_a_thermal_cameras_16_bits_are_scaled_not_clipped(extractor, tmp_path):
    """The checkpoint has no data.ir_range, so the rule of earlier versions applies."""
    deep = np.linspace(0, 65535, 64 * 32).reshape(64, 32).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    gray = extractor((deep // 257).astype(np.uint8), "ir")
    np.testing.assert_array_equal(extractor(Image.open(tmp_path / "deep.png"), "ir"), gray)
    np.testing.assert_array_equal(extractor(tmp_path / "deep.png", "ir"), gray)


@pytest.mark.parametrize("ir_range", ["auto", "7000,9000", "dtype"])
def test_the_intensity_rule_of_the_checkpoint_applies(weights, extractor, tmp_path, ir_range):
    state = checkpoint.load(weights)
    state["about"]["images"]["ir_range"] = ir_range
    checkpoint.save(state, tmp_path / "model.pth.tar")
    other = Extractor.load(tmp_path / "model.pth.tar")
    # Features of 16-bit images differ between rules, and galleries of earlier versions have no rule.
    assert (other.fingerprint == extractor.fingerprint) == (ir_range == "dtype")
    deep = (7000 + np.random.default_rng(0).integers(0, 2000, (64, 32))).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    expected = other(read_image(str(tmp_path / "deep.png"), ir_range), "ir")
    np.testing.assert_array_equal(other(tmp_path / "deep.png", "ir"), expected)
    np.testing.assert_array_equal(other(Image.open(tmp_path / "deep.png"), "ir"), expected)
    assert np.array_equal(extractor(tmp_path / "deep.png", "ir"), expected) == (ir_range == "dtype")


def test_a_turned_photo_is_upright(extractor, tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (64, 32, 3)).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was turned to the left
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=turned)
    expected = extractor(upright, "rgb")
    np.testing.assert_array_equal(extractor(tmp_path / "turned.png", "rgb"), expected)
    np.testing.assert_array_equal(extractor(Image.open(tmp_path / "turned.png"), "rgb"), expected)


def test_hidden_folders_hold_no_images(extractor, photos, tmp_path):
    for folder in ("1", ".trash/2"):
        shutil.copytree(photos / "ir", tmp_path / folder)
    assert len(image_list(tmp_path)) == len(image_list(photos / "ir"))


def test_the_size_of_a_batch_does_not_show(extractor, paths):
    expected = extractor(paths, "rgb", batch_size=1)
    for size in (2, 3, 100):
        np.testing.assert_allclose(extractor(paths, "rgb", batch_size=size), expected, atol=1e-5)


def test_what_it_says_of_itself(extractor):
    assert (extractor.height, extractor.width) == (64, 32)
    assert (extractor.mean, extractor.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert not extractor.model.training


def test_the_test_settings_of_the_run_hold(tmp_path, weights, extractor, paths):
    """A model tested with flipped images, on pooled features, is used that way."""
    state = checkpoint.load(weights)
    state["about"]["config"] = (
        state["about"]["config"].replace("flip: false", "flip: true").replace("feature: bn", "feature: pooled")
    )
    checkpoint.save(state, tmp_path / "other.pth.tar")
    other = Extractor.load(tmp_path / "other.pth.tar")
    assert other.fingerprint != extractor.fingerprint
    images = [np.asarray(read_image(path)) for path in paths[:3]]
    mirrored = [image[:, ::-1].copy() for image in images]
    np.testing.assert_allclose(other(images, "ir"), other(mirrored, "ir"), atol=1e-5)
    assert not np.allclose(extractor(images, "ir"), extractor(mirrored, "ir"), atol=1e-2)
    assert (other(images, "ir", normalize=False) > 0).all()  # GeM's output, before BN


def test_the_fingerprint_is_of_what_features_depend_on(tmp_path, weights, extractor):
    state = checkpoint.load(weights)
    state["state_dict"]["classifier.weight"] += 1
    state["epoch"] = 7
    checkpoint.save(state, tmp_path / "same.pth.tar")
    assert Extractor.load(tmp_path / "same.pth.tar").fingerprint == extractor.fingerprint
    state["state_dict"]["layer0.ir.conv1.weight"][0, 0, 0, 0] += 1e-6
    checkpoint.save(state, tmp_path / "other.pth.tar")
    assert Extractor.load(tmp_path / "other.pth.tar").fingerprint != extractor.fingerprint
    state = checkpoint.load(weights)
    state["about"]["images"]["norm_mean"][0] = 0.51
    checkpoint.save(state, tmp_path / "other.pth.tar")
    assert Extractor.load(tmp_path / "other.pth.tar").fingerprint != extractor.fingerprint


def test_the_fingerprint_is_the_same_in_every_process(weights, extractor):
    program = f"from torchreid_rgbir.retrieval import Extractor; print(Extractor.load({str(weights)!r}).fingerprint)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == extractor.fingerprint, done.stderr
    assert len(extractor.fingerprint) == 32


def test_half_precision_is_near(weights, extractor, paths):
    half = Extractor.load(weights, amp=True)(paths, "ir")
    full = extractor(paths, "ir")
    assert not np.array_equal(half, full)
    assert (half * full).sum(1).min() > 0.999


def test_mistakes(tmp_path, extractor, paths):
    (tmp_path / "words.jpg").write_text("no image")
    (tmp_path / "empty").mkdir()
    for images, message in (
        ([*paths, tmp_path / "words.jpg"], "words.jpg cannot be read .it is not an image"),
        ([], "no image was given"),
        (tmp_path / "empty", "contains no image"),
        (np.zeros((4, 4, 3)), r"array \(4, 4, 3\) of float64: convert it"),
        (np.zeros((4, 4, 2), np.uint8), r"array \(4, 4, 2\) of uint8: convert it"),
    ):
        with pytest.raises(ValueError, match=message):
            extractor(images, "ir")
    with pytest.raises(FileNotFoundError, match="nowhere.jpg is missing"):
        extractor([*paths, "nowhere.jpg"], "ir")
    with pytest.raises(ValueError, match="'thermal' is unknown"):
        extractor(paths, "thermal")
    with pytest.raises(ValueError, match="batch size is 0"):
        extractor(paths, "ir", batch_size=0)
    with pytest.raises(TypeError, match="modality"):
        extractor(paths)


def test_a_checkpoint_that_does_not_say_what_it_is(tmp_path, weights):
    state = checkpoint.load(weights)
    del state["about"]["model"]
    checkpoint.save(state, tmp_path / "a.pth.tar")
    checkpoint.save({"state_dict": state["state_dict"]}, tmp_path / "b.pth.tar")
    state = checkpoint.load(weights)
    del state["about"]["config"]
    checkpoint.save(state, tmp_path / "d.pth.tar")
    (tmp_path / "c.pth.tar").write_text(json.dumps({}))
    for name, message in (
        ("a", "does not name its model"),
        ("b", "does not name its model"),
        ("c", "not a checkpoint"),
        ("d", "which feature it was tested with"),
    ):
        with pytest.raises(ValueError, match=message):
            Extractor.load(tmp_path / f"{name}.pth.tar")
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        Extractor.load(tmp_path / "nowhere")
