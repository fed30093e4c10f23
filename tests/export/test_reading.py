"""The exported loader gives the network the pixels that data/images.py reads, and reads folders of version 0.1.0."""

import importlib.util
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.export.folder import loader_source

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    """reid_features.py as it is exported."""
    path = tmp_path_factory.mktemp("exported") / "reid_features.py"
    path.write_text(loader_source(), encoding="utf-8")
    assert "from torchreid_rgbir" not in loader_source()
    spec = importlib.util.spec_from_file_location("reid_features", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of every kind that the package reads."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    color = rng.integers(0, 256, (48, 20, 3)).astype(np.uint8)
    deep = (7000 + rng.integers(0, 2000, (48, 20))).astype(np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(color).save(folder / "color.jpg")
    Image.fromarray(color).save(folder / "turned.jpg", exif=turned)
    Image.fromarray(color).convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(color).convert("L").save(folder / "gray.webp")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    Image.fromarray(deep.astype(np.int32)).save(folder / "whole.tif")
    Image.fromarray(deep.astype(np.float32)).save(folder / "float.tif")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("ir_range", ["auto", "dtype", "7000,9000", None])
def test_the_loader_reads_the_pixels_of_the_package(loader, files, ir_range):
    images = {"height": 32, "width": 16, "norm_mean": MEAN, "norm_std": STD}
    if ir_range is not None:  # version 0.1.0 had one rule
        images["ir_range"] = ir_range
    model = loader.ExportedModel(images, {})
    assert len(files) == 8
    for path in files:
        pixels = read_image(str(path), ir_range or "dtype").resize((16, 32), Image.Resampling.BILINEAR)
        expected = (np.asarray(pixels, np.float32).transpose(2, 0, 1) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(
            STD, (3, 1, 1)
        )
        np.testing.assert_allclose(model.prepare(path), expected, atol=1e-5, err_msg=str(path))
        with Image.open(path) as image:
            np.testing.assert_allclose(model.prepare(image), expected, atol=1e-5, err_msg=str(path))


def test_an_exported_folder_of_version_0_1_0(loader, tmp_path):
    """The graphs of a small network and the features that they had."""
    pytest.importorskip("onnxruntime")
    with tarfile.open(Path(__file__).parent / "data/exported_0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    model = loader.load_onnx(tmp_path / "exported")
    found = np.concatenate([model([tmp_path / "image.png"], name) for name in ("rgb", "ir")])
    np.testing.assert_allclose(found, np.load(tmp_path / "features.npy"), atol=1e-5)
