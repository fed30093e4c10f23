"""Parts of one's own: their names, what they change, and what a file that cannot be used ends in; docs/extending.md has one of each."""

import argparse
import importlib
import re

import pytest
import torch

from torchreid_rgbir import config, host, register_dataset, register_loss, register_model
from torchreid_rgbir.cli import main
from torchreid_rgbir.data import RGBIRFolder
from torchreid_rgbir.doctor.diagnose import diagnose
from torchreid_rgbir.integration.registry import import_file
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.losses.registry import LOSSES
from torchreid_rgbir.models import MODELS, dual_resnet18
from torchreid_rgbir.runs.build import build_criterion

pytestmark = pytest.mark.usefixtures("own_parts")


def batch():
    """What MSOLoss takes of 2 identities x 2 images x 2 modalities."""
    torch.manual_seed(0)
    features = torch.randn(8, 4, requires_grad=True)
    return (
        torch.randn(8, 2),
        features,
        torch.randn(8, 64, 8, 4),
        torch.tensor([0, 0, 1, 1] * 2),
        torch.rand(8, 3, 32, 16),
        4,
        2,
    )


def test_a_loss_of_ones_own_joins_the_sum_by_its_weight():
    register_loss("length", lambda features, pids, num_ids: features.norm(dim=1).mean() * num_ids)
    cfg = config.defaults()
    assert cfg.loss.mso.weight_length == 0
    cfg.loss.mso.weight_pef = 0.0
    without = build_criterion(cfg)(*batch())
    assert "loss_length" not in without
    cfg.loss.mso.weight_length = 0.25
    losses = build_criterion(cfg)(*batch())
    expected = 2 * batch()[1].norm(dim=1).mean()
    torch.testing.assert_close(losses["loss_length"], expected)
    torch.testing.assert_close(losses["loss"], without["loss"] + 0.25 * expected)


def test_a_loss_of_ones_own_computes_in_single_precision():
    kinds = []
    register_loss(
        "kind",
        lambda features, pids, num_ids: kinds.append((features.dtype, (features @ features.T).dtype)) or features.sum(),
    )
    arguments = [
        value.bfloat16() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in batch()
    ]
    criterion = MSOLoss(weight_pef=0, own={"kind": 1.0})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        criterion(*arguments)
    assert kinds == [(torch.float32, torch.float32)]


def test_a_negative_weight_of_ones_own_loss_is_refused():
    register_loss("length", lambda features, pids, num_ids: features.sum())
    with pytest.raises(ValueError, match="none may be negative"):
        MSOLoss(own={"length": -1.0})


def test_a_data_set_and_a_model_of_ones_own_are_torchreids_too(tmp_path):
    class Mine(RGBIRFolder):
        pass

    def mine(*args, **kwargs):
        return dual_resnet18(*args, **kwargs)

    register_dataset("mine", Mine)
    register_model("mine18", mine)
    assert host.find_image_dataset("mine") is Mine and MODELS["mine18"] is mine
    assert host.models.build_model("mine18", 3, loss="mso", pretrained=False).classifier.out_features == 3
    (finding,) = diagnose("mine", tmp_path).findings
    assert finding.problem and "train/rgb is missing" in finding.text


@pytest.mark.parametrize(
    ("register", "message"),
    [
        *(
            (lambda name=name: register_loss(name, len), f"there already is a loss {name}:")
            for name in ("id", "wrt", "pef", "cmcc", "wrt_sq", "tri", "hctri")
        ),
        (lambda: [register_loss("mine", len), register_loss("mine", max)], "there already is a loss mine"),
        (lambda: register_loss("my loss", len), "loss 'my loss': name it with lower-case letters"),
        (lambda: register_loss("Mine", len), "loss 'Mine': name it with lower-case letters"),
        (lambda: register_dataset("mine", dict), "data set mine is no subclass of torchreid_rgbir.data.CrossModalImageDataset"),
        (lambda: register_dataset("mine", "x"), "data set mine is no subclass"),
        (lambda: register_dataset("market1501", RGBIRFolder), "already exists"),
        (lambda: register_model("resnet50", dual_resnet18), "torchreid already has a model resnet50"),
        (lambda: register_model("dual_resnet50", dual_resnet18), "already has a model dual_resnet50"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(register, message):
    with pytest.raises(ValueError, match=message):
        register()
    assert set(LOSSES) <= {"mine"} and MODELS["dual_resnet50"] is not dual_resnet18


def test_a_file_is_run_once(tmp_path):
    (tmp_path / "once_only.py").write_text(
        "from pathlib import Path\nwith open(Path(__file__).with_name('log'), 'a') as f: f.write('x')\n"
    )
    for _ in range(2):
        import_file(str(tmp_path / "once_only.py"))
    assert (tmp_path / "log").read_text() == "x"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.py", None, "absent.py is no Python file: give the path of a .py file"),
        ("part.txt", "", "part.txt is no Python file"),
        ("wrong_syntax.py", "x = 1\ndef f(:\n", "wrong_syntax.py, line 2: SyntaxError: "),
        ("wrong_import.py", "\n\nimport nosuchmodule\n", "wrong_import.py, line 3: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("wrong_call.py", "from torchreid_rgbir import *\nregister_loss('id', len)\n", "wrong_call.py, line 2: ValueError: there already"),
        ("argparse.py", "", "argparse.py: Python has another module argparse, rename the file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line_with_status_2(tmp_path, name, text, message, capsys):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--import", str(tmp_path / name), "--dataset", "x", "--root", str(tmp_path)])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == "" and printed.err.count("\n") == 1
    assert "argument --import: " in printed.err and message in printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doctor", "--dataset", "mine", "--root", "."], "unknown data set 'mine': choose from .* or name your own with --import FILE.py"),
        (["train", "-s", "mine", "--root", "."], "data.sources: mine is unknown, .* or --import FILE.py, which registers yours"),
        (["train", "--root", ".", "model.name", "mine18"], "model.name mine18 is unknown: .* or --import FILE.py, which registers yours"),
    ],
)  # fmt: skip
def test_a_name_that_no_file_registered_names_the_flag(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_picture_of_a_run_with_a_loss_that_no_file_registered_names_the_flag():
    pytest.importorskip("matplotlib")
    from torchreid_rgbir.runs.visualize import configuration

    cfg = config.defaults()
    cfg.loss.mso["weight_length"] = 0.5
    with pytest.raises(ValueError, match="key: loss.mso.weight_length; --import FILE.py"):
        configuration({"config": cfg.dump()}, "model-best.pth.tar", "")
    register_loss("length", lambda features, pids, num_ids: features.sum())
    assert configuration({"config": cfg.dump()}, "model-best.pth.tar", "").loss.mso.weight_length == 0.5


def test_every_command_that_builds_a_model_or_a_data_set_takes_the_flag():
    for name in (
        "train",
        "test",
        "compare",
        "splits",
        "doctor",
        "run",
        "extract",
        "identify",
        "calibrate",
        "export",
        "visualize",
    ):
        parser = argparse.ArgumentParser()
        importlib.import_module(f"torchreid_rgbir.commands.{name}").add_arguments(parser)
        assert "--import" in parser.format_help(), name
