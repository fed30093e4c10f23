"""Fixtures for many tests: a small synthetic SYSU-MM01 on disk, configurations that train on it in seconds, a device."""

import os
import sys
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch

from tests import tiny
from torchreid_rgbir import config, host
from torchreid_rgbir.losses.registry import LOSSES
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.synthetic.write import synthesize

HAS_GPU = torch.cuda.is_available()
VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(scope="session", autouse=True)
def _cpu_alone():
    """Tests and the processes that they start compute on the CPU, so that their numbers are the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="no GPU")])]
)
def device(request, monkeypatch):
    """A test with this fixture runs on the CPU and, if there is one, on a GPU."""
    if request.param == "cuda":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        if VISIBLE is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", VISIBLE)
        # TF32 has 10 bits of mantissa, too few for these tests.
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return torch.device(request.param)


@pytest.fixture(scope="session")
def sysu_root(tmp_path_factory):
    """20 identities (the last 4 for testing), 2 images of each from each camera, 32 x 64 pixels."""
    root = tmp_path_factory.mktemp("data") / "SYSU-MM01"
    synthesize("sysu_mm01", root, num_ids=20, images_per_camera=2, size=(32, 64), workers=1)
    return root


@pytest.fixture
def tiny_cfg(sysu_root, tmp_path):
    """The quick start's configuration, shrunk: 2 epochs of 3 batches of 4 x (2 + 2) images of 32 x 64."""
    return config.override(
        config.load("quickstart"),
        [
            "data.root",
            str(sysu_root),
            "data.save_dir",
            str(tmp_path / "run"),
            "data.height",
            "64",
            "data.width",
            "32",
            "data.workers",
            "0",
        ]
        + [
            "train.batch_size",
            "16",
            "sampler.num_instances",
            "2",
            "sampler.batches_per_epoch",
            "3",
            "train.max_epoch",
            "2",
        ]
        + ["train.warmup_epoch", "1", "train.print_freq", "2"],
    )


@pytest.fixture
def fast_cfg(sysu_root, tmp_path, monkeypatch):
    """2 epochs of 3 batches of 2 x (2 + 2) images, each followed by a test, with a tiny network."""
    monkeypatch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
    return tiny.configuration(sysu_root, tmp_path / "run")


@pytest.fixture
def own_parts(tmp_path):
    """Undoes after the test what a file under `tmp_path` has registered, and unloads that file."""
    torchreids = host.models.__dict__["__model_factory"], host.data.datasets.__dict__["__image_datasets"]
    with ExitStack() as stack:
        for registry in (LOSSES, MODELS, *torchreids):
            stack.enter_context(patch.dict(registry))
        stack.enter_context(patch.object(sys, "path", sys.path.copy()))
        yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
