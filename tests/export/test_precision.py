"""Graphs in half precision and in 8-bit integers."""

import numpy as np
import pytest

from torchreid_rgbir.export import standalone
from torchreid_rgbir.export.precision import convert

pytest.importorskip("onnxruntime")


@pytest.fixture
def batch():
    return np.random.default_rng(0).standard_normal((6, 3, 64, 32)).astype(np.float32)


def cosines(exported, small, batch):
    pairs = [standalone.load_onnx(folder).streams["ir"](batch) for folder in (exported, small)]
    one, other = (features / np.linalg.norm(features, axis=1, keepdims=True) for features in pairs)
    return (one * other).sum(1)


@pytest.mark.parametrize(
    ("precision", "share", "least"), [("fp32", 1, 0.999999), ("fp16", 0.55, 0.998), ("int8", 0.3, 0.99)]
)
def test_a_smaller_graph_computes_nearly_the_same_features(exported, batch, tmp_path, precision, share, least):
    for name in ("rgb", "ir"):
        convert(exported / f"{name}.onnx", tmp_path / f"{name}.onnx", precision, [batch[:3], batch[3:]])
    (tmp_path / "model.json").write_bytes((exported / "model.json").read_bytes())
    assert (tmp_path / "ir.onnx").stat().st_size <= share * (exported / "ir.onnx").stat().st_size
    found = cosines(exported, tmp_path, batch)
    assert found.min() > least
    assert standalone.load_onnx(tmp_path).streams["ir"](batch[:1]).dtype == np.float32


def test_int8_needs_calibration_images(exported, tmp_path):
    with pytest.raises(ValueError, match="int8 needs calibration images of the training set: give its folder"):
        convert(exported / "ir.onnx", tmp_path / "ir.onnx", "int8")
    assert not list(tmp_path.iterdir())
