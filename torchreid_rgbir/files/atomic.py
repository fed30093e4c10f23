"""Files that are either the old one or the new one, never half of either, whatever ends the process that writes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SUFFIX = ".writing"  # of a file that is not in its place yet; its name begins with a dot


@contextmanager
def replacing(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Opens a file beside `path` for writing; at the end it is flushed to the disk and takes `path`'s place.

    Args:
        path: of the file to make or replace; its folder is there.
        mode: "wb", or "w" for UTF-8 text.

    Raises:
        OSError: a full disk, a read-only folder; `path` is as it was, and nothing is left beside it.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        with open(beside, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} cannot be written ({reason}): make room, or choose another folder") from error
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Replaces a text file at once."""
    with replacing(path, "w") as file:
        file.write(text)


def remove_left_over(folder: Path) -> None:
    """Removes what a killed process was about to write in `folder`; only for a folder that nobody else writes to."""
    for beside in folder.glob(f".*{SUFFIX}"):
        beside.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    # A rename is kept over a power cut only once the folder itself is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
