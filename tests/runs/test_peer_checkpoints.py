"""Files of other projects and back. tests/peers does the same with files that the projects' own code wrote."""

import pickle
import re

import numpy as np
import pytest
import torch

from torchreid_rgbir.cli import main
from torchreid_rgbir.commands import convert
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.runs import peer_checkpoints
from torchreid_rgbir.runs.peer_checkpoints import FORMATS

SHAPES = {  # of the authors' networks, a few of each kind
    "agw": {
        "visible_module.visible.conv1.weight": "layer0.rgb.conv1.weight",
        "thermal_module.thermal.bn1.running_mean": "layer0.ir.bn1.running_mean",
        "base_resnet.base.layer3.5.conv2.weight": "layer3.5.conv2.weight",
        "NL_2.1.g.0.bias": "layer2.3_non_local.g.bias",
        "NL_3.0.W.1.weight": "layer3.3_non_local.bn.weight",
        "NL_3.2.theta.weight": "layer3.5_non_local.theta.weight",
        "bottleneck.running_var": "bottleneck.running_var",
        "classifier.weight": "classifier.weight",
    },
    "luckydc": {
        "backbone.conv1.weight": "layer0.ir.conv1.weight",
        "backbone.layer4.0.downsample.1.bias": "layer4.0.downsample.1.bias",
        "bn_neck.weight": "bottleneck.weight",
    },
    "mcja": {
        "backbone.bn1.weight": "layer0.rgb.bn1.weight",
        "MDA_2.0.sc_conv.bias": "layer2.2_mda.attention.bias",
        "MDA_3.2.ca_bn.running_mean": "layer3.5_mda.gate_norm.running_mean",
        "MDA_3.1.norm_bn.weight": "layer3.4_mda.norm.weight",
        "bn_neck.running_mean": "bottleneck.running_mean",
    },
}


def weights_of(name, num_classes=395, recipe=0):
    """Weights under a project's names: one number each, so that the file is small."""
    from torchreid_rgbir import config
    from torchreid_rgbir.models import MODELS

    chosen = FORMATS[name]
    cfg = config.load(chosen.recipes[recipe])
    with torch.device("meta"):
        model = MODELS[cfg.model.name](num_classes, pretrained=False)
    weights = {chosen.their_name(key): value for key, value in model.state_dict().items()}
    weights = {
        key: (torch.tensor(float(i)) if value.is_floating_point() else torch.tensor(i)).expand(value.shape)
        for i, (key, value) in enumerate(weights.items())
    }
    for unused, used in chosen.unused.items():
        weights |= {
            unused + key.removeprefix(used): weights[key] for key in list(weights) if used and key.startswith(used)
        }
    return weights | {f"{chosen.neck}bias": torch.zeros(2048)}


@pytest.fixture
def write(tmp_path):
    """Writes a project's file and returns its path."""

    def write(name, weights=None, **changes):
        weights = weights_of(name) if weights is None else weights
        state = {
            "net": weights,
            "cmc": np.array([0.475, 0.6]),
            "mAP": np.float64(0.4765),
            "mINP": np.float32(0.353),
            "epoch": 60,
        }
        path = tmp_path / f"{name}.t"
        torch.save((state | changes) if FORMATS[name].wrapped else weights, path)
        return str(path)

    return write


@pytest.mark.parametrize("name", SHAPES)
def test_weights_have_our_names(write, name):
    theirs = weights_of(name)
    state = peer_checkpoints.read(write(name, theirs), name)
    for their_name, our_name in SHAPES[name].items():
        assert torch.equal(state["state_dict"][our_name], theirs[their_name])
    assert state["about"]["model"]["num_classes"] == 395


@pytest.mark.parametrize("name", FORMATS)
def test_a_converted_file_is_a_model_and_goes_back(write, tmp_path, capsys, name):
    path, out, back = write(name), str(tmp_path / "ours.pth.tar"), str(tmp_path / "theirs.t")
    assert main(["convert", "--from", name, path, "--out", out]) == 0
    recipe = FORMATS[name].recipes[0]
    assert f"--config-file {recipe} --root DATA" in capsys.readouterr().out
    model, about = load_model(out)
    assert (model.name, about["images"]["height"]) == (
        about["model"]["name"],
        {"luckydc": 256, "mcja": 384}.get(name, 288),
    )
    assert main(["convert", "--to", name, out, "--out", back]) == 0
    written, expected = torch.load(back, weights_only=True), torch.load(path, weights_only=False)
    if FORMATS[name].wrapped:
        assert (written["epoch"], written["mAP"], written["cmc"]) == (60, 0.4765, [0.475, 0.6])
        written, expected = written["net"], expected["net"]
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[key], expected[key]) for key in written)


def test_the_recipe_is_that_of_the_number_of_identities_and_of_the_network(write, capsys, tmp_path):
    for name, recipe, num_classes, expected in (
        ("agw", 0, 395, "agw_sysu"),
        ("agw", 0, 206, "agw_regdb"),
        ("caj", 0, 713, "caj_sysu"),
        ("mcja", 1, 206, "mcja_regdb"),
        ("mcja", 1, 395, "mcja_regdb"),
        ("mcja", 0, 206, "mcja_sysu"),
    ):
        assert peer_checkpoints.read(write(name, weights_of(name, num_classes, recipe)), name)["recipe"] == expected
    path = write("luckydc", weights_of("luckydc", 206))
    assert main(["convert", "--from", "luckydc", path, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "luckydc_resnet50 with a classifier for 206 identities" in shown
    assert "luckydc_sysu has 395 identities: `test` with it skips the classifier" in shown


def test_files_of_old_versions_of_torch_and_numpy(write, tmp_path):
    theirs = {key: value for key, value in weights_of("agw").items() if "num_batches_tracked" not in key}
    path = tmp_path / "old.t"
    state = {"net": theirs, "mAP": np.float64(0.5), "cmc": np.array([0.5]), "epoch": 3}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"numpy._core.multiarray" in data
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    read = peer_checkpoints.read(path, "agw")
    assert read["scores"] == {"epoch": 3, "mAP": 0.5, "cmc": [0.5]}
    assert read["state_dict"]["layer1.0.bn1.num_batches_tracked"] == 0


class Harmful:
    def __reduce__(self):
        return print, ("this runs when it is read",)


def without(name, key):
    weights = weights_of(name)
    del weights[key]
    return weights


@pytest.mark.parametrize(
    ("name", "source", "weights", "says"),
    [
        (
            "luckydc",
            "agw",
            None,
            'luckydc.t is not a file of agw, which contains weights under "net": choose a different',
        ),
        ("agw", "luckydc", None, "is not a file of luckydc, which contains only weights"),
        (
            "luckydc",
            "mcja",
            None,
            "does not contain mcja's network (it lacks MDA_2.0.sc_conv.weight): choose a different",
        ),
        ("mcja", "luckydc", None, "does not contain luckydc's network (it also has MDA_2.0.sc_conv.weight)"),
        ("agw", "agw", {"a": torch.ones(1)}, "(it lacks classifier.weight)"),
        ("agw", "agw", without("agw", "NL_2.0.theta.weight"), "(it lacks NL_2.0.theta.weight)"),
        ("agw", "agw", weights_of("agw") | {"bottleneck.bias": torch.ones(2048)}, "(bottleneck.bias is not 0)"),
        (
            *("luckydc", "luckydc", weights_of("luckydc") | {"backbone.conv1.weight": torch.ones(64, 1, 7, 7)}),
            "(backbone.conv1.weight is (64, 1, 7, 7), expected (64, 3, 7, 7))",
        ),
        ("luckydc", "luckydc", [1], "it contains a list and no weights"),
        ("luckydc", "luckydc", {"a": 1}, "is not a file of luckydc"),
    ],
)
def test_other_files_are_one_line(write, tmp_path, capsys, name, source, weights, says):
    assert main(["convert", "--from", source, write(name, weights), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_in_a_file_is_executed(write, tmp_path, capsys):
    path = write("agw", epoch=Harmful())
    assert main(["convert", "--from", "agw", path, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "it would run" in printed.err and "print" in printed.err and "this runs" not in printed.out
    assert printed.err.endswith("which is not allowed): give a file that agw's code wrote\n")
    (tmp_path / "raw.t").write_bytes(pickle.dumps(Harmful()))
    assert main(["convert", "--from", "agw", str(tmp_path / "raw.t"), "--out", str(tmp_path / "out")]) == 2
    assert "this runs" not in capsys.readouterr().out


def test_what_cannot_go_back(write, tmp_path, capsys):
    out = str(tmp_path / "ours.pth.tar")
    checkpoint.save(peer_checkpoints.read(write("luckydc"), "luckydc"), out)
    assert main(["convert", "--to", "agw", out, "--out", str(tmp_path / "agw.t")]) == 2
    assert "ours.pth.tar contains a luckydc_resnet50, but agw's network is agw_resnet50" in capsys.readouterr().err
    assert main(["convert", "--to", "luckydc", out, "--out", out]) == 2
    assert re.search(r"--out is the file to convert, \S+ours.pth.tar: choose", capsys.readouterr().err)
    assert main(["convert", "--to", "luckydc", write("luckydc"), "--out", str(tmp_path / "x")]) == 2
    assert "does not name its model" in capsys.readouterr().err


def test_the_command_knows_every_project():
    assert tuple(FORMATS) == convert.PROJECTS
