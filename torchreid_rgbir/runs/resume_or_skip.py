"""Runs that are skipped when they are complete, and resumed when they were interrupted."""

import json
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir.runs.folder import changed_keys
from torchreid_rgbir.runs.train import train

# Keys that may change while a run is interrupted: where the data is, and how fast it is read.
IGNORED_KEYS = ("data.root", "data.save_dir", "data.workers", "model.resume", "train.start_epoch")


def resume_or_skip(cfg: CfgNode, folder: Path) -> dict:
    """Trains and tests in `folder`, or returns the results if the run is complete.

    Args:
        cfg: The configuration of the run. Its `data.save_dir` and `model.resume` are set here.
        folder: The folder of this run only.

    Returns:
        The contents of the run's results.json.

    Raises:
        ValueError: The folder has a run of a different configuration. Errors of `train` are raised too.
    """
    check_same_run(cfg, folder)
    results = folder / "results.json"
    if not results.is_file():
        cfg = cfg.clone()
        cfg.data.save_dir, cfg.model.resume = str(folder), "auto"
        train(cfg)
    return json.loads(results.read_text(encoding="utf-8"))


def check_same_run(cfg: CfgNode, folder: Path) -> None:
    """Checks that `folder` has no run, or a run of the same configuration.

    Raises:
        ValueError: It has a run of a different configuration. The message has the first key that differs.
    """
    if changed := changed_keys(folder, cfg, IGNORED_KEYS):
        raise ValueError(f"{folder} holds a run with a different {changed[0]}: choose a new folder, or remove this one")
