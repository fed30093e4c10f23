"""RegDB's published number: the mean over its ten official splits, each with a model of its own."""

import json
import logging
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.data.regdb import NUM_SPLITS
from torchreid_rgbir.metrics import report
from torchreid_rgbir.train import train, versions

logger = logging.getLogger(__name__)


def run_splits(cfg: CfgNode, num_splits: int = NUM_SPLITS) -> dict:
    """Trains and tests split after split in `data.save_dir`/split_1, split_2, ...

    A split that has its results is not repeated, and one that was interrupted goes on from its newest checkpoint.

    Args:
        cfg: of every split; `data.split_id` is set here.
        num_splits: the first so many of the ten.

    Returns:
        What `data.save_dir`/results.json holds: each direction's mean and standard deviation over the splits, in `trials` each split's.

    Raises:
        ValueError: data without splits, or a folder that holds splits of another configuration.
        FileNotFoundError: a data root without the layout.
    """
    if list(cfg.data.sources) != ["regdb"] or list(cfg.data.targets) not in ([], ["regdb"]):
        raise ValueError(f"data.sources is {list(cfg.data.sources)}: only regdb has ten splits (-s regdb)")
    if not 1 <= num_splits <= NUM_SPLITS:
        raise ValueError(f"{num_splits} splits: RegDB has 1 to {NUM_SPLITS}")
    save_dir = Path(cfg.data.save_dir).expanduser()
    done = [_run(cfg, split, save_dir / f"split_{split}") for split in range(1, num_splits + 1)]
    results = report.results(
        "regdb", mean_over_splits(done), query=cfg.test.query, feature=cfg.test.feature, distance=cfg.test.dist_metric
    )
    results |= {
        "checkpoint": str(save_dir / "split_*" / Path(done[0]["checkpoint"]).relative_to(save_dir / "split_1")),
        "config": done[0]["config"],
        "versions": versions(),
    }
    report.write_results(save_dir / "results.json", results)
    report.write_text(save_dir / "results.md", report.markdown_table(results))
    return results


def mean_over_splits(done: list[dict]) -> list[dict]:
    """The splits' results, each setting averaged over the splits."""
    averaged = []
    for settings in zip(*(results["settings"] for results in done), strict=True):
        trials = [setting["mean"] for setting in settings]
        columns = {measure: [trial[measure] for trial in trials] for measure in trials[0]}
        averaged.append(
            settings[0]
            | {
                "split": None,
                "num_trials": len(trials),
                "mean": {measure: float(np.mean(values)) for measure, values in columns.items()},
                "std": {measure: float(np.std(values)) for measure, values in columns.items()},
                "trials": trials,
            }
        )
    return averaged


def _run(cfg: CfgNode, split: int, folder: Path) -> dict:
    cfg = cfg.clone()
    cfg.data.split_id, cfg.data.save_dir, cfg.model.resume = split - 1, str(folder), "auto"
    results, written = folder / "results.json", folder / "config.yaml"
    if written.is_file() and config.load(str(written)) != cfg:
        raise ValueError(
            f"{folder} holds a run of another configuration: set data.save_dir to a new folder, or remove it"
        )
    if not results.is_file():
        train(cfg)
    else:
        logger.info("split %d is done: %s", split, results)
    return json.loads(results.read_text(encoding="utf-8"))
