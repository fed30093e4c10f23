"""What torchreid's calls do for RGB-IR data after `install()`, in this process and with a tiny network."""

import logging
from functools import partial

import pytest
import torch

from tests import tiny
from tests.whole_runs import assert_equal
from torchreid_rgbir import host
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.integration import patched_classes, settings, torchreid_patch, torchreid_tools
from torchreid_rgbir.losses import register_loss

SETTINGS = ["sampler.batches_per_epoch", "2", "loss.mso.weight_pef", "0"]
DATA = {"height": 32, "width": 16, "batch_size_train": 8, "num_instances": 2, "workers": 0, "use_gpu": False}

resume_from_checkpoint = partial(torchreid_patch._resume_from_checkpoint, host.utils.resume_from_checkpoint)
load_pretrained_weights = partial(torchreid_patch._load_pretrained_weights, host.utils.load_pretrained_weights)


@pytest.fixture
def make(sysu_root, monkeypatch):
    """Returns a function that makes an engine and a start epoch, as torchreid's script does."""

    def make(*words, resume="", optim="adam"):
        monkeypatch.setattr(settings, "current", settings.read([*SETTINGS, *words]))
        torch.manual_seed(1)
        datamanager = patched_classes.PatchedDataManager(root=str(sysu_root), sources="sysu_mm01", **DATA)
        model = tiny.tiny_resnet(datamanager.num_train_pids, loss="mso")
        optimizer = host.optim.build_optimizer(model, optim=optim, lr=0.01)
        scheduler = host.optim.build_lr_scheduler(optimizer, "single_step", stepsize=1)
        start = resume_from_checkpoint(str(resume), model, optimizer, scheduler) if resume else 0
        engine = patched_classes.PatchedEngine(datamanager, model, optimizer, scheduler=scheduler, use_gpu=False)
        return engine, start

    return make


class Trained(torch.nn.Module):
    def __init__(self, feature_dim):
        super().__init__()
        self.center = torch.nn.Parameter(torch.zeros(feature_dim))

    def forward(self, outputs, batch):
        return (outputs.features - self.center).square().mean()


def test_a_loss_with_trained_parameters_is_refused(make, tmp_path, own_parts):
    register_loss("middle", Trained)
    engine, _ = make("loss.mso.weight_middle", "0.1", optim="sgd")
    message = "loss_middle has trained parameters.*use `torchreid-rgbir train`, or set loss.mso.weight_middle 0"
    with pytest.raises(ValueError, match=message):
        engine.run(str(tmp_path), max_epoch=1)
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_is_the_same_as_an_uninterrupted_one(make, tmp_path):
    words = ["train.ema", "0.9"]
    engine, _ = make(*words)
    engine.run(str(tmp_path / "once"), max_epoch=2, eval_freq=1)
    engine, _ = make(*words)
    engine.run(str(tmp_path / "twice"), max_epoch=1)
    engine, start = make(*words, resume=tmp_path / "twice/model/model.pth.tar-1")
    engine.run(str(tmp_path / "twice"), max_epoch=2, start_epoch=start)
    once, twice = (checkpoint.load(tmp_path / name / "model/model.pth.tar-2") for name in ("once", "twice"))
    for state in (once, twice):
        del state["seconds"], state["about"]
    assert once["update"]["num_averaged"] == 4
    assert_equal(once, twice)


def test_a_different_start_epoch_resumes_only_what_torchreid_does(make, tmp_path):
    engine, _ = make()
    engine.run(str(tmp_path / "one"), max_epoch=1)
    engine, _ = make(resume=tmp_path / "one/model/model.pth.tar-1")
    engine.run(str(tmp_path / "two"), max_epoch=1, start_epoch=0)
    assert not engine.resumed and (tmp_path / "two/model/model.pth.tar-1").is_file()


def test_the_features_are_saved(make, tmp_path):
    engine, _ = make("test.save_features", "True")
    engine.run(str(tmp_path / "log"), max_epoch=1)
    assert (tmp_path / "log/features.npz").is_file() and (tmp_path / "log/queries.csv").is_file()


def test_run_takes_positional_arguments_like_torchreid(make, tmp_path):
    engine, _ = make()
    engine.run(str(tmp_path / "log"), 1)
    assert (tmp_path / "log/model/model.pth.tar-1").is_file() and (tmp_path / "log/results.json").is_file()
    with pytest.raises(TypeError, match="nonsense"):
        engine.run(nonsense=1)


@pytest.mark.parametrize(("images", "trained"), [({"ir_range": "7000,9000"}, "7000,9000"), ({}, "dtype")])
def test_a_different_ir_range_than_in_training_is_reported(make, tmp_path, caplog, images, trained):
    engine, _ = make()
    engine.run(str(tmp_path), max_epoch=1)
    path = tmp_path / "model/model.pth.tar-1"
    state = checkpoint.load(path)
    resume_from_checkpoint(str(path), engine.model)
    load_pretrained_weights(engine.model, str(path))
    assert "data.ir_range" not in caplog.text
    del state["about"]["images"]["ir_range"]
    state["about"]["images"] |= images
    checkpoint.save(state, path)
    for read in (
        lambda: resume_from_checkpoint(str(path), engine.model),
        lambda: load_pretrained_weights(engine.model, path),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "torchreid_rgbir"):
            read()
        assert f"the checkpoint was trained with data.ir_range {trained}" in caplog.text


def test_torchreids_tools_read_images_by_the_ir_range(sysu_root, monkeypatch):
    monkeypatch.setattr(settings, "current", settings.read(["data.ir_range", "7000,9000"]))
    data = torchreid_tools.PlainDataManager(
        str(sysu_root), "sysu_mm01", height=32, width=16, train_sampler="SequentialSampler", workers=0, use_gpu=False
    )
    loaders = [data.train_loader, *data.test_loader["sysu_mm01"].values()]
    assert [loader.dataset.ir_range for loader in loaders] == ["7000,9000"] * 3


def test_torchreids_tools_list_the_files_once(sysu_root, monkeypatch):
    made, init = [], SYSUMM01.__init__
    monkeypatch.setattr(
        SYSUMM01, "__init__", lambda self, *args, **kwargs: made.append(1) or init(self, *args, **kwargs)
    )
    data = torchreid_tools.PlainDataManager(
        str(sysu_root), "sysu_mm01", train_sampler="SequentialSampler", workers=0, use_gpu=False
    )
    assert len(made) == 1
    assert [loader.dataset.mode for loader in data.test_loader["sysu_mm01"].values()] == ["gallery", "query"]
