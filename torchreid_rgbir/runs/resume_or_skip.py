"""A run that is not repeated: kept once it has its results, continued where it was interrupted, refused where its folder holds another."""

import json
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.runs.train import train

# What may differ between the parts of one run: where the data lies, and how fast it is read.
ELSEWHERE = ("data.root", "data.save_dir", "data.workers", "model.resume", "train.start_epoch")


def resume_or_skip(cfg: CfgNode, folder: Path) -> dict:
    """Trains and tests in `folder`, or returns what stands there already.

    Args:
        cfg: of the run; its `data.save_dir` and `model.resume` are set here.
        folder: of this run alone.

    Returns:
        What its results.json holds.

    Raises:
        ValueError: the folder holds a run of another configuration; and those of `train`.
    """
    check_same_run(cfg, folder)
    results = folder / "results.json"
    if not results.is_file():
        cfg = cfg.clone()
        cfg.data.save_dir, cfg.model.resume = str(folder), "auto"
        train(cfg)
    return json.loads(results.read_text(encoding="utf-8"))


def check_same_run(cfg: CfgNode, folder: Path) -> None:
    """Whether a run of `cfg` may go on in `folder`.

    Raises:
        ValueError: it holds a run of another configuration; names the first key that differs.
    """
    written = folder / "config.yaml"
    changed = config.differences(config.load(str(written)), cfg) if written.is_file() else []
    changed = [key for key in changed if key not in ELSEWHERE]
    if changed:
        raise ValueError(f"{folder} holds a run with another {changed[0]}: choose a new folder, or remove that one")
