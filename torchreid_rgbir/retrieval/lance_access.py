"""Access to a LanceDB gallery by several processes: one writer at a time, retried reads, and errors in one line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

LOCK, NEXT = ".lock", ".lock.next"  # in the gallery's folder: held by the writer, and by the one that comes next
MAX_WAIT = 60  # seconds that a writer waits for a different one
NUM_RETRIES, RETRY_SECONDS = 5, 0.2  # of a read, while `compact --erase` replaces the files
LIBRARY_ERRORS = (RuntimeError, OSError, ValueError, KeyError)
T = TypeVar("T")


class ForeignTable(ValueError):
    """A table that a different program made."""


@contextmanager
def one_line_errors(location: str) -> Iterator[None]:
    """Turns the library's errors into one line."""
    try:
        yield
    except (ForeignTable, FileExistsError):
        raise
    except LIBRARY_ERRORS as error:
        reason = " ".join(str(error).split(", /root")[0].split())[:200]
        raise ValueError(
            f"{location} cannot be read or written ({reason}): free disk space if the disk is full; "
            "if the gallery is damaged, restore a copy"
        ) from None


@contextmanager
def only_writer(location: str) -> Iterator[None]:
    """Excludes other writers of a gallery in a folder. Object storage has no locks.

    Raises:
        OSError: a different process has been writing for `MAX_WAIT` seconds.
    """
    if "://" in location:
        yield
        return
    lock, deadline = FileLock(Path(location) / LOCK), time.monotonic() + MAX_WAIT
    try:
        # Otherwise a writer with many small commits would take the lock again before one that waits for it.
        with FileLock(Path(location) / NEXT, timeout=MAX_WAIT):
            lock.acquire(timeout=max(0, deadline - time.monotonic()), poll_interval=0.01)
    except Timeout:
        raise OSError(
            f"{location} has been written by a different process for {MAX_WAIT} s: "
            "repeat the command when that process has ended"
        ) from None
    except OSError as error:
        raise OSError(f"{location} cannot be written ({error.strerror}): check the permissions of the folder") from None
    try:
        yield
    finally:
        lock.release()


def repeated(operation: Callable[[], T]) -> T:
    """Repeats an operation that fails, because `compact --erase` may be replacing the files."""
    for _ in range(NUM_RETRIES):
        try:
            return operation()
        except ForeignTable:
            raise
        except LIBRARY_ERRORS:
            time.sleep(RETRY_SECONDS)
    return operation()
