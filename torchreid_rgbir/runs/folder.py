"""The folder of a run, `data.save_dir`: one process at a time, one run at a time, and a log of everything that is printed."""

import fcntl
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
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
OF_THIS_START = ("model.resume", "train.start_epoch")  # keys that say where a process begins, not what the run is
COLOR = re.compile(r"\033\[\d*m")


def compare_with_run(folder: Path, cfg: CfgNode) -> None:
    """Before a run begins in a folder that may hold one: nothing of another run may be lost or mixed up with this one.

    Raises:
        ValueError: the folder holds checkpoints of another configuration, and `cfg` does not go on from them.
    """
    found = numbered(folder / "model")
    if not found:
        return
    path = folder / CONFIG
    changed = config.differences(config.load(str(path)), cfg) if path.is_file() else ["all of it"]
    changed = [key for key in changed if key not in OF_THIS_START]
    resume = cfg.model.resume
    if resume == "auto" or (resume and Path(resume).expanduser().absolute().parent == (folder / "model").absolute()):
        if changed:
            logger.warning("the run in %s goes on with other settings than it had: %s", folder, ", ".join(changed))
    elif changed:
        raise ValueError(
            f"{folder} holds another run, of another configuration ({', '.join(changed[:4])}): set data.save_dir to a new folder, "
            "or go on with that run by model.resume auto"
        )
    elif not resume:
        logger.warning("%s is of this same run, which starts over: model.resume auto would go on from it", found[-1])


class RunFolder(io.TextIOBase):
    """Standard output, kept as well: in memory until `open`, in the log file from then on.

    A run that ends at the door, with a user's mistake, thus leaves no file and no folder behind.

    Args:
        console: where it goes in any case.
        folder: of the run.
        log: the log file's name.

    Raises:
        OSError: another process has the folder.
    """

    def __init__(self, console: TextIO, folder: Path, log: str):
        self.console = console
        self.folder = folder
        self.path = folder / log
        self.early = io.StringIO()
        self.file: TextIO = self.early
        self.lock: TextIO | None = lock(folder) if folder.is_dir() else None

    def open(self) -> None:
        """Makes the folder if need be, takes it, and begins the log.

        Raises:
            OSError: a folder that cannot be written, or that another process has.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = self.lock or lock(self.folder)
            self.file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        except OSError as error:
            if error.errno is None:  # the lock's own words
                raise
            raise OSError(
                f"{self.folder} cannot be written ({error.strerror}): set data.save_dir to another folder"
            ) from None
        atomic.remove_left_over(self.folder)
        self.file.write(self.early.getvalue())

    def write(self, text: str) -> int:
        try:
            self.file.write(COLOR.sub("", text))
        except OSError as error:  # the results matter more than the log
            self.file = io.StringIO()
            self.console.write(f"\n{self.path} cannot be written ({error.strerror}): the run goes on without it\n")
        return self.console.write(text)

    def flush(self) -> None:
        self.console.flush()

    def isatty(self) -> bool:
        return self.console.isatty()

    def leave(self) -> None:
        """Ends the log and gives the folder free."""
        for file in (self.file, self.lock):
            if file is not None:
                file.close()


def lock(folder: Path) -> TextIO:
    """Takes a folder for this process, until the file that is returned is closed or the process ends, however it ends.

    Raises:
        OSError: another process has it; names it.
    """
    path = folder / LOCK
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        # Of the process, unlike flock: a killed run's workers, who live a little longer, do not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        if isinstance(error, (BlockingIOError, PermissionError)):
            raise OSError(
                f"{folder} is being used by {holder}: wait for it, or set data.save_dir to another folder"
            ) from None
        return file  # a file system without locks, such as some networks' ones
    file.truncate(0)
    file.write(f"process {os.getpid()} of {os.uname().nodename}\n")
    file.flush()
    return file


@contextmanager
def run_folder(folder: Path, log: str) -> Iterator[RunFolder]:
    """Everything printed or logged within goes to the console and, once `open` is called, to the folder's log file."""
    run = RunFolder(sys.stdout, folder, log)
    sys.stdout, console = run, sys.stdout  # torchreid prints
    try:
        with log_to(run):
            yield run
    finally:
        sys.stdout = console
        run.leave()
