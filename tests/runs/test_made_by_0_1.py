"""Files that version 0.1's first layout wrote are read: a checkpoint, its config.yaml and its results.json."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests import tiny
from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.metrics import report
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.runs.train import train

MADE = Path(__file__).with_name("made_by_0_1")
CHECKPOINT = MADE / "model.pth.tar-1"


@pytest.fixture
def cfg(sysu_root, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
    cfg = config.load(str(MADE / "config.yaml"))
    cfg.data.root, cfg.data.save_dir = str(sysu_root), str(tmp_path / "run")
    return cfg


def test_a_checkpoint_resumes_with_its_averaged_weights_and_its_optimizer(cfg, tmp_path):
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    shutil.copy(CHECKPOINT, folder)
    shutil.copy(MADE / "config.yaml", tmp_path / "run")
    engine = train(config.override(cfg, ["model.resume", "auto"]))
    assert engine.epoch == 2 and engine.step.ema.num_averaged == 6
    state = checkpoint.load(folder / "model.pth.tar-2")
    before = checkpoint.load(CHECKPOINT)
    assert set(before) == set(state)
    step = next(iter(state["optimizer"]["state"].values()))["step"]
    assert step.item() == 6 and next(iter(before["optimizer"]["state"].values()))["step"].item() == 3


def test_a_checkpoint_is_scored_as_it_was(cfg, tmp_path):
    """The old results are of the second epoch, so only their form is compared; the scores are of the loaded weights."""
    words = ["model.load_weights", str(CHECKPOINT), "test.evaluate", "True"]
    engine = train(config.override(cfg, words))
    old = json.loads((MADE / "results.json").read_text())
    new = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(old) <= set(new)
    for before, after in zip(old["settings"], new["settings"], strict=True):
        assert set(before) <= set(after) and before["num_gallery"] == after["num_gallery"]
    best = checkpoint.load(CHECKPOINT)
    assert engine.results["sysu_mm01"]["settings"][0]["mean"]["mAP"] == pytest.approx(best["mAP"], abs=0.05)


def test_a_checkpoint_alone_gives_its_model(monkeypatch):
    monkeypatch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
    model, about = load_model(CHECKPOINT)
    saved = torch.load(CHECKPOINT, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert (about["images"]["height"], about["images"]["width"]) == (32, 16)


def test_old_results_are_read(capsys):
    old = json.loads((MADE / "results.json").read_text())
    table = report.terminal_table(old)
    assert f"{100 * old['settings'][0]['mean']['mAP']:.2f}" in table and "all-search, single-shot, agw" in table
    assert main(["published", str(MADE / "results.json")]) == 2
    assert "all-search, single-shot has 16 queries" in capsys.readouterr().err  # a tiny set is not SYSU-MM01
