"""Files that are replaced completely or not at all, and processes that write the same file."""

import os
import subprocess
import sys
import threading
import time

import pytest

from torchreid_rgbir.files import atomic

HOLD = """
import sys, time
from pathlib import Path
from torchreid_rgbir.files import atomic
with atomic.only_writer(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes `file`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "file"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_failure_leaves_the_old_content_and_no_other_file(tmp_path):
    atomic.write_text(tmp_path / "file", "old")
    with pytest.raises(KeyError), atomic.replacing(tmp_path / "file", "w") as file:
        file.write("new")
        raise KeyError
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_second_name_has_the_same_content(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    atomic.link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "a" and len(list(tmp_path.iterdir())) == 2


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "link", refuse)
    (tmp_path / "a").write_text("a")
    atomic.link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "a" and len(list(tmp_path.iterdir())) == 2


def test_a_process_that_makes_no_progress_is_not_waited_for_long(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(atomic, "MAX_WAIT", 1)
    refused = pytest.raises(OSError, match="file is being written by another process.*wait for it or end it")
    with refused, atomic.only_writer(tmp_path / "file"):
        pass


def test_a_process_that_makes_progress_is_waited_for(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(atomic, "MAX_WAIT", 3)
    temporary, done = tmp_path / ".file.1.writing", threading.Event()

    def write():
        for number in range(8):  # longer than MAX_WAIT
            temporary.write_text(str(number))
            time.sleep(1)
        done.set()
        holder.kill()

    thread = threading.Thread(target=write)
    thread.start()
    with atomic.only_writer(tmp_path / "file"):
        assert done.is_set()
    thread.join()


@pytest.mark.parametrize("name", ["file", "data[1]", "a*?"])
def test_progress_is_seen_in_files_and_in_folders(tmp_path, name):
    path, folder = tmp_path / name, tmp_path / f".{name}.unpacking.writing" / "set" / "deep"
    assert atomic._last_write(path) == 0
    temporary = tmp_path / f".{name}.1.writing"
    temporary.write_text("x")
    os.utime(temporary, (5, 5))
    assert atomic._last_write(path) == 5
    folder.mkdir(parents=True)
    (folder / "large").write_text("x")
    before = atomic._last_write(path)
    assert before > 5
    os.utime(folder / "large", (before + 9, before + 9))  # a file that grows changes only its own time
    assert atomic._last_write(path) == pytest.approx(before + 9, abs=0.01)


def test_the_end_of_a_process_frees_its_lock(tmp_path, holder):
    holder.kill()
    with atomic.only_writer(tmp_path / "file"):
        pass
    with atomic.only_writer(tmp_path / "other"):
        pass
    assert not list(tmp_path.iterdir())
