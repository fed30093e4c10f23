"""The folder of a run (`data.save_dir`): it belongs to one process and one run at a time, and logs everything printed."""

import fcntl
import io
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.files import atomic
from torchreid_rgbir.files.checkpoint_folder import numbered
from torchreid_rgbir.terminal import log_to

logger = logging.getLogger(__name__)

CONFIG, LOCK = "config.yaml", ".lock"
IGNORED_KEYS = ("model.resume", "train.start_epoch")  # they say where a process starts and do not change the run
ANSI_COLORS = re.compile(r"\033\[\d*m")


def changed_keys(folder: Path, cfg: CfgNode, ignored: Sequence[str]) -> list[str]:
    """Returns the keys with different values in the folder's config.yaml and in `cfg`. None if there is no such file."""
    written = folder / CONFIG
    changed = config.differences(config.load(str(written)), cfg) if written.is_file() else []
    return [key for key in changed if key not in ignored]


def compare_with_run(folder: Path, cfg: CfgNode) -> None:
    """Checks before a run starts that its folder does not have a different run, which would be lost.

    Raises:
        ValueError: The folder has checkpoints of a different configuration, and `cfg` does not resume from them.
    """
    found = numbered(folder / "model")
    if not found:
        return
    written = (folder / CONFIG).is_file()
    changed = changed_keys(folder, cfg, IGNORED_KEYS) if written else ["config.yaml is missing"]
    resume = cfg.model.resume
    if resume == "auto" or (resume and Path(resume).expanduser().absolute().parent == (folder / "model").absolute()):
        if changed:
            logger.warning("the run in %s resumes with changed settings: %s", folder, ", ".join(changed))
    elif changed:
        raise ValueError(
            f"{folder} has a run of a different configuration ({', '.join(changed[:4])}): "
            "set data.save_dir to a new folder, or set model.resume auto to continue that run"
        )
    elif not resume:
        advice = "set model.resume auto to continue from it"
        logger.warning("%s belongs to this run, which now starts from scratch: %s", found[-1], advice)


class RunFolder(io.TextIOBase):
    """Standard output that is also logged: in memory until `open` is called, then in the file `log`.

    So a run that ends early because of a user error leaves no file and no folder.

    Raises:
        OSError: A different process uses the folder.
    """

    def __init__(self, console: TextIO, folder: Path, log: str):
        self.console = console
        self.folder = folder
        self.path = folder / log
        self.early = io.StringIO()
        self.file: TextIO = self.early
        self.lock: TextIO | None = lock(folder) if folder.is_dir() else None

    def open(self) -> None:
        """Creates the folder if it is missing, locks it and starts the log file.

        Raises:
            OSError: The folder cannot be written, or a different process uses it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = self.lock or lock(self.folder)
            self.file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        except OSError as error:
            if error.errno is None:  # from `lock`, which has a message already
                raise
            raise OSError(
                f"{self.folder} cannot be written ({error.strerror}): set data.save_dir to a different folder"
            ) from None
        atomic.remove_left_over(self.folder)
        self.file.write(self.early.getvalue())

    def write(self, text: str) -> int:
        try:
            self.file.write(ANSI_COLORS.sub("", text))
        except OSError as error:  # the run continues without its log
            self.file = io.StringIO()
            self.console.write(f"\n{self.path} cannot be written ({error.strerror}): the run continues without it\n")
        return self.console.write(text)

    def flush(self) -> None:
        self.console.flush()

    def isatty(self) -> bool:
        return self.console.isatty()

    def leave(self) -> None:
        """Closes the log and unlocks the folder."""
        for file in (self.file, self.lock):
            if file is not None:
                file.close()


def lock(folder: Path) -> TextIO:
    """Locks a folder for this process until the returned file is closed or the process ends.

    The package filelock does not fit: it empties its file whenever it tries, so the message could not say which process
    holds the lock.

    Raises:
        OSError: A different process holds the lock. The message says which one.
    """
    path = folder / LOCK
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        # Unlike flock, this lock belongs to the process alone: the workers of a killed run, which end a little later,
        # do not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "a different process"
        file.close()
        if isinstance(error, (BlockingIOError, PermissionError)):
            raise OSError(
                f"{folder} is in use by {holder}: wait until it ends, or set data.save_dir to a different folder"
            ) from None
        return file  # some network file systems have no locks
    file.truncate(0)
    file.write(f"process {os.getpid()} of {os.uname().nodename}\n")
    file.flush()
    return file


@contextmanager
def run_folder(folder: Path, log: str) -> Iterator[RunFolder]:
    """Sends everything that is printed or logged to the console and, after `open`, to the folder's log file."""
    run = RunFolder(sys.stdout, folder, log)
    sys.stdout, console = run, sys.stdout  # torchreid prints
    try:
        with log_to(run):
            yield run
    finally:
        sys.stdout = console
        run.leave()
