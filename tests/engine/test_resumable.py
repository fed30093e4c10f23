"""A run that is stopped anywhere and resumed ends exactly as the one that was not."""

import random
import shutil
import signal
import time

import numpy as np
import pytest
import torch

from tests import tiny
from tests.whole_runs import assert_equal, assert_same_run, send_at
from torchreid_rgbir import config, host
from torchreid_rgbir.cli import main
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.checkpoint_folder import numbered
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs.train import train


@pytest.fixture
def cfg(fast_cfg):  # its tests follow each epoch
    return fast_cfg


def in_folder(cfg, folder, *words):
    return config.override(cfg.clone(), ["data.save_dir", str(folder), *words])


@pytest.fixture(scope="module")
def uninterrupted(sysu_root, tmp_path_factory):
    """A whole run; not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
        train(tiny.configuration(sysu_root, folder))
    return folder


@pytest.mark.parametrize(
    ("method", "call", "left"),
    [
        ("forward_backward", 2, "model.pth.tar-0-2"),  # in the middle of the first epoch
        ("forward_backward", 6, "model.pth.tar-1-3"),  # in its last step: the test is still to come
        ("extract_features", 2, "model.pth.tar-0-3"),  # in the first epoch's test
        ("save_model", 1, "model.pth.tar-1"),  # while saving
        ("forward_backward", 1, "model.pth.tar-0-1"),
    ],
)
def test_a_stopped_run_ends_as_the_uninterrupted_one(cfg, tmp_path, uninterrupted, monkeypatch, method, call, left):
    stopped = in_folder(cfg, tmp_path / "stopped", "model.resume", "auto")
    with monkeypatch.context() as patch:
        send_at(patch, method, call)
        with pytest.raises(SystemExit) as status:
            train(stopped)
    assert status.value.code == 143
    assert numbered(tmp_path / "stopped" / "model")[-1].name == left
    torch.manual_seed(5), np.random.seed(5), random.seed(5)  # another process
    train(stopped)
    assert_same_run(uninterrupted, tmp_path / "stopped")


@pytest.mark.parametrize("words", [["train.accumulate", "2"], ["train.ema", "0.9"], ["train.amp", "bf16"]])
def test_every_kind_of_step_is_gone_on_with(cfg, tmp_path, monkeypatch, words):
    train(in_folder(cfg, tmp_path / "whole", *words))
    stopped = in_folder(cfg, tmp_path / "stopped", "model.resume", "auto", *words)
    with monkeypatch.context() as patch:
        send_at(patch, "forward_backward", 4)
        with pytest.raises(SystemExit):
            train(stopped)
    # The step of two batches is finished first.
    done = "2" if "train.accumulate" in words else "1"
    assert numbered(tmp_path / "stopped" / "model")[-1].name == f"model.pth.tar-1-{done}"
    train(stopped)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_it_may_be_stopped_again_and_again(cfg, tmp_path, uninterrupted, monkeypatch):
    stopped = in_folder(cfg, tmp_path / "stopped", "model.resume", "auto")
    with monkeypatch.context() as patch:
        for _ in range(6):
            patch.undo()
            send_at(patch, "forward_backward", 1)
            with pytest.raises(SystemExit):
                train(stopped)
    train(stopped)
    assert_same_run(uninterrupted, tmp_path / "stopped")


def test_random_states_and_the_dropout_that_draws_from_them_are_kept(cfg, tmp_path, monkeypatch):
    """No part of ours draws from the global states; a user's model may."""
    forward = CrossModalEngine.forward_backward
    drawn = []

    def drawing(self, data):
        drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))
        return forward(self, data)

    monkeypatch.setattr(CrossModalEngine, "forward_backward", drawing)
    train(in_folder(cfg, tmp_path / "whole"))
    whole, drawn[:] = list(drawn), []
    stopped = in_folder(cfg, tmp_path / "stopped", "model.resume", "auto", "data.workers", "1")
    with monkeypatch.context() as patch:
        send_at(patch, "forward_backward", 2)
        with pytest.raises(SystemExit):
            train(stopped)
    train(stopped)
    assert drawn == whole and len(set(whole)) == 6


def test_ctrl_c_saves_and_is_answered_with_130(cfg, tmp_path, monkeypatch, capsys):
    (tmp_path / "cfg.yaml").write_text(in_folder(cfg, tmp_path / "run").dump())
    send_at(monkeypatch, "forward_backward", 2, signal.SIGINT)
    assert main(["train", "--config-file", str(tmp_path / "cfg.yaml")]) == 130
    assert (tmp_path / "run" / "model" / "model.pth.tar-0-2").exists()
    assert "SIGINT: continue with model.resume" in (tmp_path / "run" / "train.log").read_text()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # as it was


def test_a_signal_is_answered_within_a_step_and_a_save(cfg, tmp_path, monkeypatch):
    steps = []
    forward = CrossModalEngine.forward_backward
    monkeypatch.setattr(
        CrossModalEngine, "forward_backward", lambda self, data: steps.append(time.time()) or forward(self, data)
    )
    send_at(monkeypatch, "forward_backward", 2)
    with pytest.raises(SystemExit):
        train(in_folder(cfg, tmp_path / "run"))
    assert len(steps) == 2


def test_the_last_checkpoints_and_the_best_are_kept(cfg, tmp_path):
    train(in_folder(cfg, tmp_path, "train.max_epoch", "4", "sampler.batches_per_epoch", "1", "test.eval_freq", "-1"))
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["SHA256SUMS", "model-best.pth.tar", "model.pth.tar-3", "model.pth.tar-4"]


def test_checkpoints_every_other_epoch_and_at_the_end(cfg, tmp_path):
    words = ["train.max_epoch", "5", "train.checkpoint_freq", "2", "train.keep_checkpoints", "9"]
    train(in_folder(cfg, tmp_path, *words, "sampler.batches_per_epoch", "1", "test.eval_freq", "-1"))
    assert [path.name[-1] for path in numbered(tmp_path / "model")] == ["2", "4", "5"]


def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(cfg, tmp_path, uninterrupted, capsys):
    shutil.copytree(uninterrupted, tmp_path / "run")
    newest = tmp_path / "run" / "model" / "model.pth.tar-2"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    (tmp_path / "run" / "results.json").unlink()
    train(in_folder(cfg, tmp_path / "run", "model.resume", "auto"))
    assert "model.pth.tar-2 is damaged (its checksum" in capsys.readouterr().out
    assert_same_run(uninterrupted, tmp_path / "run")


def test_nothing_but_damaged_checkpoints_is_an_error(cfg, tmp_path):
    train(in_folder(cfg, tmp_path / "run", "train.max_epoch", "1"))
    path = tmp_path / "run" / "model" / "model.pth.tar-1"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="none of the 1 checkpoints"):
        train(in_folder(cfg, tmp_path / "run", "model.resume", "auto"))


def test_a_run_that_lacks_only_its_results_is_scored_again(cfg, tmp_path, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    before = (tmp_path / "run" / "model" / "model.pth.tar-2").stat().st_mtime_ns
    train(in_folder(cfg, tmp_path / "run", "model.resume", "auto"))
    assert (tmp_path / "run" / "model" / "model.pth.tar-2").stat().st_mtime_ns == before
    assert_same_run(uninterrupted, tmp_path / "run")


def test_a_run_that_met_its_target_is_not_trained_on(cfg, tmp_path):
    words = ["train.max_epoch", "50", "train.target_loss", "1000", "model.resume", "auto"]
    for _ in range(2):
        train(in_folder(cfg, tmp_path, *words))
    assert [path.name for path in numbered(tmp_path / "model")] == ["model.pth.tar-1"]


def test_a_folder_with_another_run_is_refused_and_the_same_run_warned_of(cfg, tmp_path, capsys):
    train(in_folder(cfg, tmp_path, "train.max_epoch", "1"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"has a run of a different configuration .*\(train.lr\).*set data.save_dir"):
        train(in_folder(cfg, tmp_path, "train.max_epoch", "1", "train.lr", "0.5"))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    train(in_folder(cfg, tmp_path, "train.max_epoch", "1"))
    assert "belongs to this run, which now starts from scratch" in capsys.readouterr().out


def test_going_on_with_other_settings_is_told(cfg, tmp_path, capsys):
    train(in_folder(cfg, tmp_path, "train.max_epoch", "1"))
    train(in_folder(cfg, tmp_path, "train.max_epoch", "2", "model.resume", "auto"))
    assert "resumes with changed settings: train.max_epoch" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "value"), [("train.lr", "0.5"), ("train.weight_decay", "0.1")])
def test_what_the_checkpoint_decides_cannot_be_set_anew(cfg, tmp_path, key, value):
    train(in_folder(cfg, tmp_path, "train.max_epoch", "1"))
    with pytest.raises(ValueError, match=f"was trained with {key} .*model.load_weights"):
        train(in_folder(cfg, tmp_path, "train.max_epoch", "2", "model.resume", "auto", key, value))


def test_a_test_of_given_weights_is_of_those_though_the_run_was_resumed(cfg, tmp_path):
    train(in_folder(cfg, tmp_path, "model.resume", "auto"))
    first = str(tmp_path / "model" / "model.pth.tar-1")
    engine = train(
        in_folder(cfg, tmp_path, "model.resume", "auto", "test.evaluate", "True", "model.load_weights", first)
    )
    expected, tested = dict(checkpoint.load(first)["state_dict"]), engine.model.state_dict()
    assert_equal({name: tested[name] for name in expected}, expected)
    with pytest.raises(FileNotFoundError, match="has no checkpoint to test"):
        train(in_folder(cfg, tmp_path / "typo", "model.resume", "auto", "test.evaluate", "True"))


def test_a_signal_in_the_last_save_is_answered(cfg, tmp_path, monkeypatch):
    send_at(monkeypatch, "save_model", 2)
    with pytest.raises(SystemExit):
        train(in_folder(cfg, tmp_path))
    assert numbered(tmp_path / "model")[-1].name == "model.pth.tar-2"


def test_a_checkpoint_from_elsewhere_does_not_go_on_in_another_runs_folder(cfg, tmp_path):
    for name, rate in (("one", "0.1"), ("two", "0.2")):
        train(in_folder(cfg, tmp_path / name, "train.max_epoch", "1", "train.lr", rate))
    path = str(tmp_path / "two" / "model" / "model.pth.tar-1")
    with pytest.raises(ValueError, match="has a run of a different configuration"):
        train(in_folder(cfg, tmp_path / "one", "train.lr", "0.2", "model.resume", path))


def test_a_checkpoint_of_torchreids_own_engine_is_gone_on_from(cfg, tmp_path):
    """It has neither a place in the epoch nor random states, and an optimizer of several kernels."""
    engine = train(in_folder(cfg, tmp_path / "ours", "train.max_epoch", "1"))
    optimizer = engine.optimizer.state_dict()
    for group in optimizer["param_groups"]:
        group["fused"] = None
    state = {"state_dict": engine.model.state_dict(), "epoch": 1, "rank1": np.float64(0.5)}
    host.utils.save_checkpoint(
        state | {"optimizer": optimizer, "scheduler": engine.scheduler.state_dict()}, str(tmp_path / "stock")
    )
    stock = str(tmp_path / "stock" / "model.pth.tar-1")
    train(in_folder(cfg, tmp_path / "stock", "model.resume", stock))
    train(in_folder(cfg, tmp_path / "ours", "model.resume", "auto"))
    one, two = (checkpoint.load(tmp_path / name / "model" / "model.pth.tar-2") for name in ("ours", "stock"))
    assert_equal(one["state_dict"], two["state_dict"])
