"""Runs that are skipped when they are complete, and resumed when they were interrupted."""

import json
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir.runs.folder import changed_keys
from torchreid_rgbir.runs.train import path_of, train

# Keys that may change while a run is interrupted: where the data is, how fast it is read, and which files a test keeps.
IGNORED_KEYS = (
    *("data.root", "data.save_dir", "data.workers", "model.resume", "train.start_epoch"),
    "test.save_features",
)


def resume_or_skip(cfg: CfgNode, folder: Path) -> dict[str, dict]:
    """Trains and tests in `folder`, or returns the results if the run is complete.

    Args:
        cfg: The configuration of the run. Its `data.save_dir` and `model.resume` are set here.
        folder: The folder of this run only.

    Returns:
        The contents of results.json by the name of the data set that was tested. Several data sets have one file each.

    Raises:
        ValueError: The folder has a run of a different configuration. Errors of `train` are raised too.
    """
    check_same_run(cfg, folder)
    targets = list(cfg.data.targets or cfg.data.sources)
    results = {name: path_of(folder / "results.json", name, targets) for name in targets}
    if not all(path.is_file() for path in results.values()):
        cfg = cfg.clone()
        cfg.data.save_dir, cfg.model.resume = str(folder), "auto"
        train(cfg)
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in results.items()}


def check_same_run(cfg: CfgNode, folder: Path) -> None:
    """Checks that `folder` has no run, or a run of the same configuration.

    Raises:
        ValueError: It has a run of a different configuration. The message has the first key that differs.
    """
    if changed := changed_keys(folder, cfg, IGNORED_KEYS):
        raise ValueError(f"{folder} holds a run with a different {changed[0]}: choose a new folder, or remove this one")
