"""The checkpoints of a run in `data.save_dir`/model: their names, which ones are kept, and which one to resume."""

import logging
import re
from pathlib import Path
from typing import Any

from torchreid_rgbir.files import atomic, checkpoint

logger = logging.getLogger(__name__)

NAME = re.compile(r"model\.pth\.tar-(\d+)(?:-(\d+))?")
BEST = "model-best.pth.tar"


class CheckpointFolder:
    """Writes checkpoints and keeps the `keep` newest ones, besides the best one.

    They are named `model.pth.tar-EPOCH`, as torchreid does, or `model.pth.tar-EPOCH-BATCH` within an epoch.
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder = folder
        self.keep = keep
        if folder.is_dir():
            atomic.remove_left_over(folder)

    def save(self, state: dict[str, Any], is_best: bool = False) -> Path:
        """Writes a checkpoint, named by its `epoch` and `batch`, and removes those that are too old.

        Raises:
            OSError: the checkpoint cannot be written. No other checkpoint was removed.
        """
        place = (state["epoch"], state["batch"])
        path = self.folder / ("model.pth.tar-" + "-".join(map(str, place if place[1] else place[:1])))
        # The best one first, so that a process that is killed in between writes both again.
        checkpoint.save(state, *([self.folder / BEST] if is_best else []), path)
        # Checkpoints of later epochs are from an earlier run in this folder.
        for old in [found for found in numbered(self.folder) if _place(found) <= place][: -self.keep]:
            old.unlink()
        checksums = checkpoint.read_checksums(self.folder)
        existing = {name: checksum for name, checksum in checksums.items() if (self.folder / name).exists()}
        if existing != checksums:
            checkpoint.write_checksums(self.folder, existing)
        return path


def numbered(folder: Path) -> list[Path]:
    """Returns a folder's checkpoints, except the best one, in the order of epoch and batch. File times do not count."""
    return sorted((path for path in folder.glob("model.pth.tar-*") if NAME.fullmatch(path.name)), key=_place)


def newest_good(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that can be read and its contents, if there is one. Damaged ones are reported and skipped.

    Raises:
        ValueError: all checkpoints are damaged.
    """
    found = numbered(folder)
    for path in reversed(found):
        try:
            return path, checkpoint.load(path)
        except (ValueError, OSError) as error:
            logger.warning("%s", error)
    if found:
        raise ValueError(
            f"none of the {len(found)} checkpoints in {folder} can be read: start the run in a different data.save_dir"
        )
    return None


def _place(path: Path) -> tuple[int, int]:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)
