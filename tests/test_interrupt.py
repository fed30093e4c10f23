"""Ctrl-C, which a terminal sends to a command and all of its processes, ends it soon, with one line and status 130.

No incomplete file and no process remains.
"""

import multiprocessing
import os
import signal
import time

import pytest

from tests import tiny
from tests.faults import processes
from torchreid_rgbir import config
from torchreid_rgbir.data import cache
from torchreid_rgbir.doctor import image_checks
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.retrieval.extractor import Extractor

SECONDS = 60  # the limit, which also holds on a busy machine


def slow(function):
    def slowly(*args, **kwargs):
        time.sleep(0.5)
        return function(*args, **kwargs)

    return slowly


def run(words, output):
    """Runs a command in its own process group, as a shell does, with slow reading of images."""
    os.setpgid(0, 0)
    multiprocessing.set_start_method("fork", force=True)  # as in a process that a shell starts
    places = (image_checks, "read_with_bits"), (cache, "read_image"), (Extractor, "_read")
    for owner, name in places:
        setattr(owner, name, slow(getattr(owner, name)))
    processes._run(words, output, None)


def interrupt(words, output, is_running):
    """Starts a command, sends Ctrl-C when `is_running` is true, and returns the output."""
    process = processes.context().Process(target=run, args=([str(word) for word in words], str(output)))
    process.start()
    try:
        wait_for(lambda: is_running() or not process.is_alive())
        os.killpg(process.pid, signal.SIGINT)
        assert processes.finish(process, SECONDS) == 130, output.read_text()
        wait_for(lambda: not is_there(process.pid))  # no worker is left
    finally:
        if is_there(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    return output.read_text()


def is_there(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < SECONDS
        time.sleep(0.01)


def later(seconds=1.5):
    """Returns a function that is true from some seconds after its first call on, for commands without visible progress."""
    began = []

    def is_later():
        began.append(time.monotonic())
        return began[-1] - began[0] >= seconds

    return is_later


@pytest.mark.parametrize("workers", [1, 2])
def test_synthesize(tmp_path, workers):
    words = ["synthesize", "--layout", "sysu_mm01", "--out", tmp_path / "set", "--ids", 50, "--workers", workers]
    printed = interrupt(words, tmp_path / "output.txt", lambda: any(tmp_path.glob(".set.*.part/cam1/0001/*.jpg")))
    assert printed == "torchreid-rgbir synthesize: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


def test_doctor(sysu_root, tmp_path):
    words = ["doctor", "--dataset", "sysu_mm01", "--root", sysu_root]
    assert interrupt(words, tmp_path / "output.txt", later()) == "torchreid-rgbir doctor: interrupted\n"


@pytest.fixture
def weights(tmp_path):
    about = {
        "model": {"name": "dual_resnet18", "num_classes": 7, "last_stride": 1},
        "images": {"height": 32, "width": 16, "norm_mean": [0.5, 0.5, 0.5], "norm_std": [0.2, 0.2, 0.2]},
        "config": config.load("quickstart").dump(),
    }
    checkpoint.save({"state_dict": tiny.tiny_resnet(7).state_dict(), "about": about}, tmp_path / "model.pth.tar-1")
    return tmp_path / "model.pth.tar-1"


def test_extract(sysu_root, tmp_path, weights):
    words = ["extract", "--weights", weights, "--rgb", sysu_root / "cam1", "--out", tmp_path / "features.npz"]
    words += ["--batch-size", 4]
    assert interrupt(words, tmp_path / "output.txt", later()) == "torchreid-rgbir extract: interrupted\n"
    assert not (tmp_path / "features.npz").exists()


@pytest.mark.parametrize("kind", ["disk", "none"])
def test_train_with_workers(sysu_root, tmp_path, kind):
    """While the cache is built, and during the training steps."""
    words = ["train", "--config-file", "quickstart", "--root", sysu_root, *tiny.SETTINGS]
    words += ["data.workers", 2, "data.cache", kind, "data.cache_dir", tmp_path / "cache"]
    words += ["train.max_epoch", 100000, "data.save_dir", tmp_path / "run"]
    begun = (tmp_path / "run").glob if kind == "none" else (tmp_path / "cache").glob
    pattern = "model/model-best.pth.tar" if kind == "none" else ".*.writing"
    printed = interrupt(words, tmp_path / "output.txt", lambda: any(begun(pattern)))
    assert kind == "disk" or "SIGINT: continue with" in printed
    assert "Traceback" not in printed and printed.endswith("torchreid-rgbir train: interrupted\n")
    assert not [path for path in tmp_path.rglob("*.writing")]
