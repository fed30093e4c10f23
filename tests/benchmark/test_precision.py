"""The command that exports a smaller model and scores it."""

import json

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.benchmark import precision
from torchreid_rgbir.cli import main
from torchreid_rgbir.runs.train import train

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def weights(fast_cfg, tmp_path, monkeypatch):
    # The network of the tests is smaller than the one of this name that the loader builds.
    monkeypatch.setattr("torchreid_rgbir.export.standalone.knows", lambda name: False)
    train(config.override(fast_cfg.clone(), ["data.save_dir", str(tmp_path / "run"), "train.max_epoch", "1"]))
    return tmp_path / "run" / "model" / "model.pth.tar-1"


def test_int8_is_scored_beside_pytorch_and_fp32(weights, tmp_path, capsys):
    out = tmp_path / "small"
    assert main(["export", "--precision", "int8", "--weights", str(weights), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:10].strip() for line in lines[-3:]] == ["PyTorch", "ONNX fp32", "ONNX int8"]
    mean = json.loads((tmp_path / "run" / "results.json").read_text())["settings"][0]["mean"]
    assert f"{100 * mean['rank1']:6.2f}  {100 * mean['mAP']:5.2f}" in lines[-3]
    assert sorted(path.name for path in out.iterdir()) == ["ir.onnx", "model.json", "reid_features.py", "rgb.onnx"]
    assert json.loads((out / "model.json").read_text())["precision"] == "int8"
    size = sum((out / name).stat().st_size for name in ("rgb.onnx", "ir.onnx"))
    assert f"{size / 1e6:5.1f} MB" in lines[-1]


def test_fp16_that_differs_too_much_is_not_written(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "MIN_COSINE", 1.1)
    out = tmp_path / "small"
    assert main(["export", "--precision", "fp16", "--weights", str(weights), "--out", str(out)]) == 2
    assert "the features of fp16 have a cosine of only" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_bad_input_ends_in_one_line(weights, tmp_path, capsys):
    words = ["export", "--weights", str(weights), "--out", str(tmp_path / "small")]
    for more, message in (
        (["--precision", "int8", "--root", str(tmp_path / "absent")], "int8 takes its calibration images from it, and"),
        (["--precision", "int8", "--layout", "hub"], "--precision is for ONNX graphs"),
        (["--root", str(tmp_path)], "add --precision, or remove --root"),
    ):
        assert main([*words, *more]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert message in error
    assert not (tmp_path / "small").exists()
