"""What becomes of a run whose workers or whose disk fail: one line, and the last checkpoint as it was."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.whole_runs import assert_same_run
from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.data.loading import worker_errors
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.runs.train import train


def at_step(monkeypatch, call, do):
    """Calls `do(engine)` before the `call`-th training step, from 1."""
    forward, calls = CrossModalEngine.forward_backward, []

    def counted(self, data):
        calls.append(1)
        if len(calls) == call:
            do(self)
        return forward(self, data)

    monkeypatch.setattr(CrossModalEngine, "forward_backward", counted)


def signal_workers(number):
    def send(engine):
        for worker in engine.train_loader._iterator._workers:
            os.kill(worker.pid, number)
        time.sleep(0.5)  # its death is noticed in the step itself

    return send


def test_a_killed_worker_is_told_and_the_last_checkpoint_kept(fast_cfg, tmp_path, monkeypatch, capsys):
    (tmp_path / "cfg.yaml").write_text(config.override(fast_cfg, ["data.workers", "1"]).dump())
    words = ["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", fast_cfg.data.root]
    with monkeypatch.context() as patch:
        at_step(patch, 5, signal_workers(signal.SIGKILL))
        assert main(words) == 2
    error = capsys.readouterr().err
    assert "a process that loads images died" in error and "model.resume auto" in error and error.count("\n") == 1
    assert checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-1")["epoch"] == 1
    assert main([*words, "data.save_dir", str(tmp_path / "whole"), "data.workers", "0"]) == 0
    assert main([*words, "model.resume", "auto"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_leave_signals_to_the_main_process(fast_cfg, tmp_path, monkeypatch, number):
    at_step(monkeypatch, 2, signal_workers(number))
    train(config.override(fast_cfg, ["data.workers", "1"]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that ...", "enlarge /dev/shm"),
        ("unable to open shared memory object </torch_1> in read-write mode", "enlarge /dev/shm"),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", "memory may have run out"),
    ],
)
def test_what_torch_says_of_a_worker_in_our_words(text, says):
    with pytest.raises(OSError, match=says), worker_errors():
        raise RuntimeError(text)


def test_another_error_is_left_alone():
    with pytest.raises(RuntimeError, match="shapes differ"), worker_errors():
        raise RuntimeError("shapes differ")


def test_a_full_disk_ends_the_run_and_leaves_what_was_there(fast_cfg, tmp_path, monkeypatch, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_step(monkeypatch, 5, lambda engine: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1])))
    (tmp_path / "cfg.yaml").write_text(fast_cfg.dump())
    words = ["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", fast_cfg.data.root]
    try:
        assert main(words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err
    assert "model-best.pth.tar cannot be written (File too large): make room" in error or "tar-2 cannot" in error
    assert checkpoint.load(tmp_path / "run" / "model" / "model.pth.tar-1")["epoch"] == 1
    assert checkpoint.load(tmp_path / "run" / "model" / "model-best.pth.tar")
    assert not list((tmp_path / "run" / "model").glob(".*"))
    assert main([*words, "data.save_dir", str(tmp_path / "whole")]) == 0
    assert main([*words, "model.resume", "auto"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_worker_that_an_error_left_behind_does_not_keep_the_process(tmp_path):
    code = """
from torchreid_rgbir.data.loading import Loader
loader = Loader(range(100), num_workers=2, persistent_workers=True)
try:
    for number in loader:
        raise ValueError("an image that cannot be read")
except ValueError as error:
    kept = error  # its traceback holds the iterator, and so the worker, to the end
print("over")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0 and run.stdout == "over\n" and run.stderr == ""


def test_ctrl_c_while_workers_are_forked_is_not_lost():
    code = """
import os, signal
from torchreid_rgbir.data.loading import Loader
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs are without
os.register_at_fork(before=lambda: signal.raise_signal(signal.SIGINT))  # what is raised in such a hook is dropped
try:
    for number in Loader(range(100), num_workers=1):
        pass
except KeyboardInterrupt:
    print("interrupted")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.stdout == "interrupted\n" and run.stderr == ""
