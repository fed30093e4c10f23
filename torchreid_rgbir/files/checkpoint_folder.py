"""The checkpoints of a run, in `data.save_dir`/model: their names, which are kept, and which to go on from."""

import logging
import re
from pathlib import Path
from typing import Any

from torchreid_rgbir.files import atomic, checkpoint

logger = logging.getLogger(__name__)

NAME = re.compile(r"model\.pth\.tar-(\d+)(?:-(\d+))?")
BEST = "model-best.pth.tar"


class CheckpointFolder:
    """Writes `model.pth.tar-EPOCH` (torchreid's name), or `-EPOCH-BATCH` in the middle of an epoch, and keeps the newest ones.

    Args:
        folder: made when the first checkpoint is written.
        keep: how many, at least 1; the best one is kept besides.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder = folder
        self.keep = keep
        if folder.is_dir():
            atomic.remove_left_over(folder)

    def save(self, state: dict[str, Any], is_best: bool = False) -> Path:
        """Writes a checkpoint under the name of its `epoch` and `batch`, and removes those that are too old now.

        Raises:
            OSError: it cannot be written; all that were there still are.
        """
        place = (state["epoch"], state["batch"])
        path = self.folder / ("model.pth.tar-" + "-".join(map(str, place if place[1] else place[:1])))
        if is_best:  # first, so that a process that is killed in between repeats both
            checkpoint.save(state, self.folder / BEST)
            checkpoint.copy(self.folder / BEST, path)
        else:
            checkpoint.save(state, path)
        # Those of later epochs are of a run that was here before; this one has not come so far yet.
        for old in [found for found in numbered(self.folder) if _place(found) <= place][: -self.keep]:
            old.unlink()
        checksums = checkpoint.read_checksums(self.folder)
        there = {name: checksum for name, checksum in checksums.items() if (self.folder / name).exists()}
        if there != checksums:
            checkpoint.write_checksums(self.folder, there)
        return path


def numbered(folder: Path) -> list[Path]:
    """A folder's checkpoints but the best one, those that have come farthest last. (A file's time says nothing: clocks are set.)"""
    return sorted((path for path in folder.glob("model.pth.tar-*") if NAME.fullmatch(path.name)), key=_place)


def newest_good(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to continue from, and what it contains. Damaged ones are reported and skipped.

    Returns:
        None if the folder has no checkpoint.

    Raises:
        ValueError: all of them are damaged.
    """
    found = numbered(folder)
    for path in reversed(found):
        try:
            return path, checkpoint.load(path)
        except (ValueError, OSError) as error:
            logger.warning("%s", error)
    if found:
        raise ValueError(f"none of the {len(found)} checkpoints in {folder} can be read: start anew in another folder")
    return None


def _place(path: Path) -> tuple[int, int]:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)
