"""The folder of a run is locked by one process, has its log, and is not used for a different run."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.runs import folder
from torchreid_rgbir.runs.train import train

HOLD = """
import sys, time
from pathlib import Path
from torchreid_rgbir.runs import folder
lock = folder.lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(tmp_path):
    """A different process that has locked tmp_path / "run"."""
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run"), "600"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_in_use_is_refused_until_its_process_ends(fast_cfg, tmp_path, holder, capsys):
    (tmp_path / "cfg.yaml").write_text(fast_cfg.dump())
    words = ["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", fast_cfg.data.root]
    start = time.monotonic()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"is in use by process {holder.pid} of" in error and "set data.save_dir" in error
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert time.monotonic() - start < 5  # before the data is listed and the model built
    holder.kill()
    holder.wait()
    assert main([*words, "train.max_epoch", "1"]) == 0


def test_a_killed_process_does_not_leave_the_folder_to_its_children(tmp_path):
    lock = folder.lock(tmp_path)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        lock.close()  # as the end of this process does
        done = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path), "0"])
        assert done.returncode == 0
    finally:
        child.kill()
        child.join()


def test_a_folder_that_cannot_be_made(fast_cfg, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train(config.override(fast_cfg, ["data.save_dir", str(tmp_path / "file" / "run")]))


def test_a_folder_that_may_not_be_written(fast_cfg, tmp_path, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))  # root, who may run the tests, may write everywhere

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(OSError, match=r"cannot be written \(Permission denied\): set data.save_dir"):
        train(fast_cfg)


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys):
    with folder.run_folder(tmp_path, "train.log") as run:
        run.open()
        run.file.close()
        run.file = open("/dev/full", "w", buffering=1)  # noqa: SIM115
        print("one")
        print("two")
    one, message, *_, two = capsys.readouterr().out.splitlines()
    assert message.endswith("train.log cannot be written (No space left on device): the run continues without it")
    assert (one, two) == ("one", "two")


def test_a_test_in_a_runs_folder_leaves_its_configuration_alone(fast_cfg, tmp_path):
    train(config.override(fast_cfg.clone(), ["train.max_epoch", "1"]))
    before = (tmp_path / "run" / "config.yaml").read_text()
    weights = str(tmp_path / "run" / "model" / "model.pth.tar-1")
    train(config.override(fast_cfg, ["test.evaluate", "True", "model.load_weights", weights]))
    assert (tmp_path / "run" / "config.yaml").read_text() == before
    assert config.load(str(tmp_path / "run" / "test-config.yaml")).test.evaluate


def test_the_clock_may_be_set_back(fast_cfg, tmp_path):
    """Which checkpoint is the newest, and how long a run took, is no question of the clock."""
    train(fast_cfg)
    for path in (tmp_path / "run" / "model").iterdir():
        os.utime(path, (0, 0) if path.name.endswith("2") else None)
    engine = train(config.override(fast_cfg, ["model.resume", "auto", "train.max_epoch", "3"]))
    assert engine.checkpoint_path.endswith("tar-3") and engine.losses["loss"] > 0


def test_what_a_killed_process_was_writing_is_removed(fast_cfg, tmp_path):
    left = [tmp_path / "run" / name for name in (".results.json.1.writing", "model/.model.pth.tar-1.1.writing")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    train(config.override(fast_cfg, ["train.max_epoch", "1"]))
    assert not any(path.exists() for path in left)
