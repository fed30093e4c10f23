"""Files that the projects' own code writes, converted and back: their features and ours, in double precision."""

import ast
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision

from tests.peers.peer_code import AGW, CAJ, LUCKYDC, MCJA, checkout, imported, make_trained_like
from torchreid_rgbir.cli import main
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models.loading import load_model

NUM_CLASSES = 17
SCRIPTS = {
    "agw": (AGW, "train.py"),
    "caj": (CAJ, "ICCV21_CAJ/train_ext.py"),
    "luckydc": (LUCKYDC, "engine/__init__.py"),
    "mcja": (MCJA, "engine/__init__.py"),
}


def network(name):
    """The project's network, and a function that computes its features of unit length for images of one modality."""
    if name in ("agw", "caj"):
        from model import embed_net

        net = embed_net(NUM_CLASSES, no_local="on", gm_pool="on")
        return net, lambda images, modality: net(images, images, {RGB: 1, IR: 2}[modality])[1]
    if name == "luckydc":
        from models.baseline import Baseline

        net = Baseline(NUM_CLASSES)
    else:
        from models.mcja import MCJA as Network

        net = Network(NUM_CLASSES)
    return net, lambda images, modality: F.normalize(net(images))


@pytest.fixture(params=SCRIPTS)
def project(request, monkeypatch):
    """The name of a project, with its modules importable and without its download of ImageNet weights."""

    def download(url, **options):
        return torchvision.models.resnet50(num_classes=1000 if request.param == "mcja" else 1).state_dict()

    monkeypatch.setattr(torch.utils.model_zoo, "load_url", download)
    monkeypatch.setattr(torchvision.models.resnet, "load_state_dict_from_url", download, raising=False)
    if request.param == "mcja":
        pytest.importorskip("torchsort")
    with imported(SCRIPTS[request.param][0]):
        yield request.param


def save_as_they_do(name, net, folder):
    """Runs the statements of the project's script that write a checkpoint. Returns the path of the file."""
    peer, script = SCRIPTS[name]
    tree = ast.parse((checkout(peer) / script).read_text(encoding="utf-8"))
    bodies = [getattr(node, "body", None) for node in ast.walk(tree)]
    for body in (body for body in bodies if isinstance(body, list)):
        saved = [place for place, statement in enumerate(body) if ast.unparse(statement).startswith("torch.save(")]
        if saved:
            break
    assigned = [s for s in body[: saved[0]] if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)]
    values = {
        "torch": torch,
        "os": os,
        "net": net,
        "model": net,
        "epoch": 7,
        "checkpoint_path": f"{folder}/",
        "suffix": name,
    }
    values |= {"save_dir": folder, "prefix": name, "logx": SimpleNamespace(logdir=folder)}
    values |= {"cmc_att": np.linspace(0.4, 1, 20), "mAP_att": np.mean([0.4, 0.5]), "mINP_att": np.float64(0.3)}
    code = ast.Module([*assigned, body[saved[0]]], type_ignores=[])
    exec(compile(code, script, "exec"), values)
    [path] = Path(folder).iterdir()
    return str(path)


def test_their_file_gives_their_features_and_goes_back(project, tmp_path, capsys):
    torch.manual_seed(0)
    net, features = network(project)
    make_trained_like(net)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    path, ours, back = save_as_they_do(project, net, str(theirs)), str(tmp_path / "ours.tar"), str(tmp_path / "back")
    assert main(["convert", "--from", project, path, "--out", ours]) == 0
    assert main(["convert", "--to", project, ours, "--out", back]) == 0
    written = torch.load(back, weights_only=True)
    if project in ("agw", "caj"):
        assert (written["epoch"], written["mAP"]) == (7, 0.45)
        written = written["net"]
    images = torch.randn(6, 3, 64, 32, dtype=torch.float64)
    net.double().eval()
    expected = [features(images, modality) for modality in (RGB, IR)]
    model = load_model(ours)[0].double()
    found = [F.normalize(model.stream(modality)(images)) for modality in (RGB, IR)]
    difference = max((one - other).abs().max().item() for one, other in zip(found, expected, strict=True))
    print(f"\n{project}: largest difference of the features of a converted file {difference:.1e}")
    assert difference < 1e-10
    assert project in ("luckydc", "mcja") or not torch.allclose(*expected)
    torch.nn.init.zeros_(net.classifier.weight)
    net.load_state_dict(written, strict=project != "mcja")  # MCJA's code does not load strictly, either
    for modality, rows in zip((RGB, IR), expected, strict=True):
        assert torch.equal(features(images, modality), rows)
    assert net.classifier.weight.count_nonzero()
