"""An exported folder: what it holds, that it computes what PyTorch computes, and that it needs no torchreid."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.data.images import list_images, read_image
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.export import export, folder, standalone
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import load_model

pytest.importorskip("onnxruntime")
safetensors_torch = pytest.importorskip("safetensors.torch")


@pytest.fixture(scope="session")
def photos(sysu_root, tmp_path_factory):
    """Six pictures of people, each of another size than the network takes."""
    folder = tmp_path_factory.mktemp("photos")
    for i, person in enumerate(sorted((sysu_root / "cam1").iterdir())[:6]):
        read_image(list_images(person)[0]).resize((41 + 9 * i, 150 - 20 * i)).save(folder / f"{i}.jpg")
    return list_images(folder)


def features_of(weights, photos, modality):
    """Decoded, normalized and embedded as the engine's test does it."""
    model, about = load_model(weights)
    decode = Decode(about["images"]["height"], about["images"]["width"])
    normalize = BatchTransforms([], about["images"]["norm_mean"], about["images"]["norm_std"]).normalize
    ir_range = about["images"].get("ir_range", "dtype")
    images = normalize(torch.stack([decode(read_image(path, ir_range)) for path in photos]))
    with torch.no_grad():
        return model(images, len(images) if modality == "rgb" else 0).numpy()


def test_the_folder_holds_what_it_promises(exported, weights):
    assert sorted(path.name for path in exported.iterdir()) == [
        "ir.onnx",
        "model.json",
        "model.safetensors",
        "reid_features.py",
        "rgb.onnx",
    ]
    about = json.loads((exported / "model.json").read_text())
    assert about["model"] == {
        "name": "dual_resnet18",
        "num_classes": 5,
        "last_stride": 2,
        "feature": "bn",
        "feature_dim": 512,
    }
    assert about["images"]["norm_std"] == [0.2, 0.3, 0.25]
    state = load_model(weights)[0].state_dict()
    saved = safetensors_torch.load_file(exported / "model.safetensors")
    assert saved.keys() == state.keys()
    assert all(torch.equal(saved[name], state[name]) for name in state)


def test_a_backbone_that_the_loader_cannot_build_is_written_as_graphs(weights, photos, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(MODELS, "own", MODELS["dual_resnet18"])
    state = checkpoint.load(weights)
    state["about"]["model"]["name"] = "own"
    checkpoint.save(state, tmp_path / "own.pth.tar-1")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_text("of another model that was exported here")
    export(tmp_path / "own.pth.tar-1", tmp_path / "out", photos[:1])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ir.onnx",
        "model.json",
        "reid_features.py",
        "rgb.onnx",
    ]
    assert "model.safetensors is omitted" in caplog.text
    found = standalone.load_onnx(tmp_path / "out")(photos, "ir")
    np.testing.assert_allclose(found, features_of(weights, photos, "ir"), atol=1e-4)


@pytest.mark.parametrize("load", [standalone.load_onnx, standalone.load_torch])
def test_features_of_files_are_pytorchs(exported, weights, photos, load):
    model = load(exported)
    rgb, ir = (model(photos, name, batch_size=4) for name in NAMES)  # 6 photos: the last batch is smaller
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb, features_of(weights, photos, "rgb"), atol=1e-4)
    np.testing.assert_allclose(ir, features_of(weights, photos, "ir"), atol=1e-4)
    assert np.abs(rgb - ir).max() > 0.01  # the streams are not the same graph twice


def test_a_graph_takes_any_batch(exported):
    for name in NAMES:
        stream = standalone.load_onnx(exported).streams[name]
        images = np.random.default_rng(0).standard_normal((5, 3, 64, 32)).astype(np.float32)
        together = stream(images)
        assert together.shape == (5, 512)
        np.testing.assert_allclose(np.concatenate([stream(images[i : i + 1]) for i in range(5)]), together, atol=1e-5)


def test_a_16_bit_picture_is_read_as_in_training(exported, weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (64, 32)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "thermal.png")
    path = str(tmp_path / "thermal.png")
    np.testing.assert_allclose(
        standalone.load_onnx(exported)([path], "ir"), features_of(weights, [path], "ir"), atol=1e-4
    )


@pytest.mark.parametrize(("load", "absent"), [("load_onnx", ["torch", "torchvision"]), ("load_torch", [])])
def test_the_loader_needs_no_torchreid(exported, weights, photos, tmp_path, load, absent):
    code = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {["torchreid", "torchreid_rgbir", *absent]}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
sys.path.insert(0, {str(exported)!r})
import numpy, reid_features
numpy.save({str(tmp_path / "features.npy")!r}, reid_features.{load}({str(exported)!r})({photos!r}, "ir"))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), features_of(weights, photos, "ir"), atol=1e-4)


def test_the_loaders_mistakes_are_named(exported):
    model = standalone.load_onnx(exported)
    for photos, modality in ([], "rgb"), (["x.jpg"], "thermal"):
        with pytest.raises(ValueError, match="give at least one, of 'rgb' or 'ir'"):
            model(photos, modality)


@pytest.fixture
def quick(monkeypatch, exported):
    """Tracing a graph takes seconds: the graphs that are there already serve."""

    def write(model, modality, images, path):
        path.write_bytes((exported / f"{NAMES[modality]}.onnx").read_bytes())

    monkeypatch.setattr(folder, "_write_graph", write)


def test_a_graph_that_computes_something_else_is_never_handed_over(
    quick, weights, photos, tmp_path, monkeypatch, exported
):
    differences = export(weights, tmp_path / "good", photos)
    assert differences.keys() == {"random", "files"} and max(differences.values()) < 1e-4
    swapped = {"rgb.onnx": "ir.onnx", "ir.onnx": "rgb.onnx"}
    monkeypatch.setattr(
        folder, "_write_graph", lambda m, mod, i, path: path.write_bytes((exported / swapped[path.name]).read_bytes())
    )
    with pytest.raises(
        ValueError, match=r"rgb features of ONNX Runtime differ .* on random images.*nothing was written"
    ):
        export(weights, tmp_path / "bad", photos)
    assert [path.name for path in tmp_path.iterdir()] == ["good"]


def test_files_read_differently_are_found(quick, weights, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(standalone.ExportedModel, "prepare", lambda self, path: np.zeros((3, 64, 32), np.float32))
    with pytest.raises(ValueError, match="on files images"):
        export(weights, tmp_path / "bad", photos)


def test_the_command_says_what_it_compared(quick, weights, photos, tmp_path, capsys):
    assert main(["export", "--weights", str(weights), "--out", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "features on random" in printed and "features on files" in printed
    assert "ONNX Runtime" in printed and "median of 20, interleaved" in printed


def test_without_any_file_it_says_so(quick, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(folder, "_training_images", lambda about: [])
    assert main(["export", "--weights", str(weights), "--out", str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "features on files" not in printed and "give image files with --images" in printed


def test_mistakes_end_in_one_line_and_leave_nothing(weights, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "hollow").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    torch.save({"state_dict": {}}, tmp_path / "stock")
    out = tmp_path / "exported"
    for flags, message in (
        (["--weights", str(tmp_path / "none")], "is missing: give the path of a checkpoint"),
        (["--weights", str(tmp_path / "hollow")], "is damaged or not a checkpoint"),
        (["--weights", str(tmp_path / "stock")], "does not name its model"),
        (["--weights", str(weights), "--images", str(tmp_path / "empty")], "contains no image"),
        (["--weights", str(weights), "--images", str(tmp_path / "nowhere")], "nowhere is missing"),
        (["--weights", str(weights), "--images", str(tmp_path / "text.jpg")], "text.jpg cannot be read"),
        (["--weights", str(weights), "--out", str(tmp_path / "stock")], "is a file: choose a folder"),
    ):
        assert main(["export", "--out", str(out), *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
        assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_missing_extra_is_named_with_its_command(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else name)
    assert main(["export", "--weights", str(weights), "--out", str(tmp_path / "a")]) == 2
    error = capsys.readouterr().err
    assert "onnxruntime is not installed: run `pip install 'torchreid-rgbir[export]'`" in error
