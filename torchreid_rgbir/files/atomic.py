"""Files that hold either the old content or the new one, never a part of it, even if the process that writes them is killed."""

import glob
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

SUFFIX = ".writing"  # of a file that is still being written; its name begins with a dot
MAX_WAIT = 60  # seconds that a process waits for another one that writes the same file and makes no progress


@contextmanager
def replacing(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Opens a temporary file beside `path`, for bytes or UTF-8 text; at the end it is flushed and renamed to `path`.

    Raises:
        OSError: the disk is full or the folder is read-only. `path` is unchanged and the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} cannot be written ({reason}): make room, or choose a different folder") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def filling(out: str | Path, last: str, stale: Iterable[str] = ()) -> Iterator[Path]:
    """Yields a temporary folder beside `out`; at the end its files are moved to `out`, which is made if it is missing.

    The file `last` of an earlier time is removed first and the new one moved last, so that no one reads a mixture of both.

    Args:
        last: name of the file without which the folder is not read.
        stale: names of files in `out` that are removed as well, because the new ones may lack them.

    Raises:
        NotADirectoryError: `out` is a file.
    """
    out = Path(out).expanduser()
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as beside:
        yield Path(beside)
        out.mkdir(exist_ok=True)
        for old in (last, *stale):
            (out / old).unlink(missing_ok=True)
        for path in sorted(Path(beside).iterdir(), key=lambda path: path.name == last):
            os.replace(path, out / path.name)


def write_text(path: str | Path, text: str) -> None:
    """Replaces a text file atomically."""
    with replacing(path, "w") as file:
        file.write(text)


def link(source: Path, path: Path) -> None:
    """Gives a file a second name, atomically: a hard link where the file system has them, else a copy."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        os.link(source, temporary)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError:
        with replacing(path) as file, open(source, "rb") as content:
            shutil.copyfileobj(content, file)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Removes temporary files of killed processes. No other process may be writing to `folder`."""
    for temporary in folder.glob(f".*{SUFFIX}"):
        temporary.unlink(missing_ok=True)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Lets one process of this user and machine at a time write `path`, a file or a folder.

    A second process waits while the first one makes progress, which shows in the temporary files beside `path`
    (`.NAME.*`), and then checks whether anything is left to do. The system frees the lock when its process ends. The lock
    only saves work: `path` is replaced atomically anyway, also by other machines.

    Raises:
        OSError: the other process made no progress for `MAX_WAIT` seconds.
    """
    # Not beside `path`: some network file systems have no locks, and folders of data stay as their authors made them.
    locks = Path(tempfile.gettempdir(), f"torchreid_rgbir-{os.getuid()}")
    locks.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(locks / f"{hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]}.lock")
    seen, since = -1.0, time.monotonic()
    while True:
        try:
            lock.acquire(timeout=2)
            break
        except Timeout:
            if seen < 0:
                logger.info("waiting for another process that writes %s", path)
        written = _last_write(path)
        if written != seen:
            seen, since = written, time.monotonic()
        elif time.monotonic() - since > MAX_WAIT:
            raise OSError(
                f"{path} is being written by another process, which made no progress for {MAX_WAIT} s: "
                "wait for it or end it, then repeat the command"
            )
    try:
        yield
    finally:
        lock.release()


def _last_write(path: Path) -> float:
    times = [0.0]
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*"):
        times.append(_modified(temporary))
        # A new file in a temporary folder changes that folder's time. So a file that is being written is in the folder
        # that changed last, and if several changed at the same time, in the deepest one.
        folders = [(folder, files) for folder, _, files in os.walk(temporary, topdown=False)]
        if folders:
            last, files = max(folders, key=lambda entry: _modified(entry[0]))
            times += [_modified(last), *(_modified(os.path.join(last, file)) for file in files)]
    return max(times)


def _modified(path: str | Path) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _flush_folder(folder: Path) -> None:
    # A rename survives a power cut only after the folder itself is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
