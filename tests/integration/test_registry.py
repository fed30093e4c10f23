"""Parts of one's own: their names, what they change, and what a file that cannot be used ends in; docs/extending.md has one of each."""

import argparse
import importlib
import re

import pytest
import torch

from tests.whole_runs import assert_same_run
from torchreid_rgbir import config, host, register_dataset, register_loss, register_model
from torchreid_rgbir.cli import main
from torchreid_rgbir.config import checks
from torchreid_rgbir.data import RGBIRFolder
from torchreid_rgbir.doctor.diagnose import diagnose
from torchreid_rgbir.integration.registry import import_file
from torchreid_rgbir.losses import LOSSES, MSOLoss, Option
from torchreid_rgbir.models import MODELS, Batch, Outputs, dual_resnet18
from torchreid_rgbir.runs.build import build_criterion
from torchreid_rgbir.runs.train import train

pytestmark = pytest.mark.usefixtures("own_parts")

BUILT_IN = {"id", "wrt", "pef", "cmcc", "wrt_sq", "tri", "tri_pooled", "hctri", "cmr"}


def batch(dtype=torch.float32):
    """A step of 2 identities x 2 images x 2 modalities: what the model returned, and what it was given."""
    torch.manual_seed(0)
    features = torch.randn(8, 4, requires_grad=True)
    maps = torch.randn(8, 64, 8, 4)
    outputs = Outputs(*(value.to(dtype) for value in (torch.randn(8, 2), features, features + 1, maps, maps[:, :4])))
    return outputs, Batch(torch.rand(8, 3, 32, 16), torch.tensor([0, 0, 1, 1] * 2), num_rgb=4, num_ids=2)


def constant(outputs, batch):
    return outputs.features.sum() * 0


def criterion_of(cfg):
    return build_criterion(cfg, dual_resnet18(2, loss="mso", pretrained=False))


def test_a_custom_loss_joins_the_sum_by_its_weight():
    register_loss("length", lambda outputs, batch: outputs.pooled.norm(dim=1).mean() * batch.num_ids)
    cfg = config.defaults()
    assert cfg.loss.mso.weight_length == 0
    cfg.loss.mso.weight_pef = 0.0
    without = criterion_of(cfg)(*batch())
    assert "loss_length" not in without
    cfg.loss.mso.weight_length = 0.25
    losses = criterion_of(cfg)(*batch())
    expected = 2 * batch()[0].pooled.norm(dim=1).mean()
    torch.testing.assert_close(losses["loss_length"], expected)
    torch.testing.assert_close(losses["loss"], without["loss"] + 0.25 * expected)


def test_the_older_form_of_a_custom_loss_works():
    def length(features, pids, num_ids):
        return features.norm(dim=1).mean() * num_ids + pids.sum()

    register_loss("length", length)
    register_loss("length", length)  # the same one again
    losses = MSOLoss(weight_pef=0, weight_length=1.0)(*batch())
    torch.testing.assert_close(losses["loss_length"], 2 * batch()[0].features.norm(dim=1).mean() + 4)


@pytest.mark.parametrize(
    "loss",
    [lambda f, p, n: f.sum() * n, lambda features, pids, num_ids, scale=1.0: features.sum() * num_ids],
    ids=["short names", "a default"],
)
def test_the_older_form_is_known_by_its_three_arguments(loss):
    register_loss("length", loss)
    losses = MSOLoss(weight_pef=0, weight_length=1.0)(*batch())
    torch.testing.assert_close(losses["loss_length"], 2 * batch()[0].features.sum())


@pytest.mark.parametrize(
    ("loss", "options", "message"),
    [
        (lambda features: 0, {}, r"loss mine: write it as loss\(outputs, batch"),
        (lambda outputs, batch, scale: 0, {}, "name every further argument in options"),
        (lambda outputs, batch: 0, {"scale": Option(0.5, (0, 1))}, r"write it as loss\(outputs, batch, scale\)"),
        (lambda outputs, batch, scale: 0, {"scale": Option(0.5)}, "values must be the smallest and the largest number"),
        (lambda outputs, batch, kind: 0, {"kind": Option("a")}, "values must list the allowed texts, with 'a'"),
        (
            lambda outputs, batch, m: 0,
            {"m": Option(0.3, (0, 9), key="loss.triplet.margin")},
            "the key must end with .m",
        ),
        (
            lambda outputs, batch, margin: 0,
            {"margin": Option(0.5, (0, 9), key="loss.triplet.margin")},
            "the default of loss.triplet.margin is 0.3 already, not 0.5",
        ),
    ],
)
def test_a_loss_that_cannot_be_called_is_refused_at_registration(loss, options, message):
    with pytest.raises(ValueError, match=message):
        register_loss("mine", loss, options=options)
    assert "mine" not in LOSSES


def test_a_whole_number_option_has_a_range():
    register_loss("length", lambda outputs, batch, power: outputs.features.sum(), options={"power": Option(2, (1, 9))})
    with pytest.raises(ValueError, match="loss.length.power is 100: it must be 1 to 9"):
        checks.check(config.override(config.defaults(), ["loss.length.power", "100"]))


def test_the_same_loss_with_a_different_weight_is_refused():
    register_loss("length", constant, weight=1.0)
    register_loss("length", constant, weight=1.0)
    with pytest.raises(ValueError, match="a loss named length is registered already"):
        register_loss("length", constant, weight=0.1)


def test_options_are_configuration_keys_and_reach_the_loss():
    options = {"power": Option(2.0, (1, 3)), "kind": Option("mean", ("mean", "sum")), "root": Option(False)}
    seen = {}
    register_loss(
        "length", lambda outputs, batch, **given: seen.update(given) or outputs.features.sum(), options=options
    )
    cfg = config.override(
        config.defaults(), ["loss.mso.weight_length", "1", "loss.mso.weight_pef", "0", "loss.length.kind", "sum"]
    )
    assert (cfg.loss.length.power, cfg.loss.length.root) == (2.0, False)
    checks.check(cfg)
    criterion_of(cfg)(*batch())
    assert seen == {"power": 2.0, "kind": "sum", "root": False}
    for words, message in (
        (["loss.length.kind", "max"], "loss.length.kind is 'max': choose from mean, sum"),
        (["loss.length.power", "4"], "loss.length.power is 4.0: it must be 1 to 3"),
        (["loss.mso.weight_length", "-1"], "loss.mso.weight_length is -1.0: it must be 0 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            checks.check(config.override(cfg.clone(), words))


class Centers(torch.nn.Module):
    """A center loss: the distance of each feature from a trained center of its class."""

    def __init__(self, num_classes, feature_dim):
        super().__init__()
        self.centers = torch.nn.Parameter(torch.zeros(num_classes, feature_dim))

    def forward(self, outputs, batch):
        return (outputs.features - self.centers[batch.pids]).square().sum(dim=1).mean()


def test_the_parameters_of_a_loss_are_trained_saved_and_resumed(fast_cfg, tmp_path):
    register_loss("center", Centers)
    fast_cfg.loss.mso["weight_center"] = 0.1
    cfg = config.override(fast_cfg, ["train.lr_scheduler", "warmup_multi_step"])  # it does not depend on max_epoch
    engine = train(config.override(cfg.clone(), ["data.save_dir", str(tmp_path / "whole")]))
    centers = engine.criterion.loss_center.centers
    assert centers.shape == (engine.datamanager.num_train_pids, engine.model.feature_dim)
    assert centers.abs().max() > 0
    train(config.override(cfg.clone(), ["train.max_epoch", "1"]))
    resumed = train(config.override(cfg.clone(), ["model.resume", "auto"]))
    assert torch.equal(resumed.criterion.loss_center.centers, centers)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_loss_that_needs_sizes_says_so():
    register_loss("center", Centers)
    with pytest.raises(ValueError, match="Centers needs num_classes and feature_dim: give them to MSOLoss"):
        MSOLoss(weight_pef=0, weight_center=1.0)


def test_a_custom_loss_computes_in_single_precision():
    kinds = []
    register_loss(
        "kind",
        lambda outputs, batch: (
            kinds.append((outputs.features.dtype, (outputs.features @ outputs.features.T).dtype))
            or outputs.features.sum()
        ),
    )
    criterion = MSOLoss(weight_pef=0, weight_kind=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        criterion(*batch(torch.bfloat16))
    assert kinds == [(torch.float32, torch.float32)]


def test_a_negative_weight_of_a_custom_loss_is_refused():
    register_loss("length", lambda outputs, batch: outputs.features.sum())
    with pytest.raises(ValueError, match="no weight may be negative"):
        MSOLoss(weight_length=-1.0)


def test_a_data_set_and_a_model_of_ones_own_are_torchreids_too(tmp_path):
    class Mine(RGBIRFolder):
        pass

    def mine(*args, **kwargs):
        return dual_resnet18(*args, **kwargs)

    register_dataset("mine", Mine)
    register_model("mine18", mine)
    assert host.image_datasets()["mine"] is Mine and MODELS["mine18"] is mine
    assert host.models.build_model("mine18", 3, loss="mso", pretrained=False).classifier.out_features == 3
    (finding,) = diagnose("mine", tmp_path).findings
    assert finding.problem and "train/rgb is missing" in finding.text


@pytest.mark.parametrize(
    ("register", "message"),
    [
        *(
            (lambda name=name: register_loss(name, constant), f"a loss named {name} is registered already:")
            for name in ("id", "wrt", "pef", "cmcc", "wrt_sq", "tri", "hctri")
        ),
        (lambda: [register_loss("mine", constant), register_loss("mine", lambda outputs, batch: 1)], "a loss named mine is registered already"),
        (lambda: register_loss("my loss", constant), "loss 'my loss': the name must consist of lower-case letters"),
        (lambda: register_loss("mine", constant, reaches="layer1"), "reaches is 'layer1', choose from all, features, layer0"),
        (lambda: register_loss("Mine", constant), "loss 'Mine': the name must consist of lower-case letters"),
        (lambda: register_dataset("mine", dict), "data set mine must be a subclass of torchreid_rgbir.data.CrossModalImageDataset"),
        (lambda: register_dataset("mine", "x"), "data set mine must be a subclass"),
        (lambda: register_dataset("market1501", RGBIRFolder), "already exists"),
        (lambda: register_model("resnet50", dual_resnet18), "torchreid already has a model resnet50"),
        (lambda: register_model("dual_resnet50", dual_resnet18), "already has a model dual_resnet50"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(register, message):
    with pytest.raises(ValueError, match=message):
        register()
    assert set(LOSSES) - BUILT_IN <= {"mine"} and MODELS["dual_resnet50"] is not dual_resnet18


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
        ("absent.py", None, "absent.py is not a Python file: give the path of a .py file"),
        ("part.txt", "", "part.txt is not a Python file"),
        ("wrong_syntax.py", "x = 1\ndef f(:\n", "wrong_syntax.py, line 2: SyntaxError: "),
        ("wrong_import.py", "\n\nimport nosuchmodule\n", "wrong_import.py, line 3: ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("wrong_call.py", "from torchreid_rgbir import *\nregister_loss('id', print)\n", "wrong_call.py, line 2: ValueError: a loss named id"),
        ("argparse.py", "", "argparse.py: Python already has a module named argparse, rename the file"),
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
        (["doctor", "--dataset", "mine", "--root", "."], "unknown data set 'mine': choose from .* or register a custom one with --import FILE.py"),
        (["train", "-s", "mine", "--root", "."], "data.sources: mine is unknown: .* or register a custom one with --import FILE.py"),
        (["train", "--root", ".", "model.name", "mine18"], "model.name mine18 is unknown: .* or register a custom one with --import FILE.py"),
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
    with pytest.raises(
        ValueError, match="key: loss.mso.weight_length: if a custom loss has this key, add --import FILE.py"
    ):
        configuration({"config": cfg.dump()}, "model-best.pth.tar", "")
    register_loss("length", lambda outputs, batch: outputs.features.sum())
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
