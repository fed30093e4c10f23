"""RegDB's published result: the mean over its ten official splits, with one model per split."""

import logging
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir.metrics import report
from torchreid_rgbir.protocols.protocol import mean_and_std
from torchreid_rgbir.protocols.regdb import NUM_SPLITS
from torchreid_rgbir.runs.provenance import versions
from torchreid_rgbir.runs.resume_or_skip import resume_or_skip

logger = logging.getLogger(__name__)


def run_splits(cfg: CfgNode, num_splits: int = NUM_SPLITS) -> dict:
    """Trains and tests one split after the other, in `data.save_dir`/split_1, split_2 and so on, as `resume_or_skip` does.

    Args:
        cfg: The configuration of every split. Its `data.split_id` is set here.
        num_splits: How many of the ten splits are used, from the first one on.

    Returns:
        The contents of `data.save_dir`/results.json: each direction's mean and standard deviation over the splits, then
        the settings of each split. `checkpoint` and `config` are lists with one entry per split.

    Raises:
        ValueError: The data set has no splits, or the folder has splits of a different configuration.
        FileNotFoundError: The data root does not have RegDB's layout.
    """
    if list(cfg.data.sources) != ["regdb"] or list(cfg.data.targets) not in ([], ["regdb"]):
        raise ValueError(f"data.sources is {list(cfg.data.sources)}: only regdb has ten splits (-s regdb)")
    if not 1 <= num_splits <= NUM_SPLITS:
        raise ValueError(f"{num_splits} splits: give a number from 1 to {NUM_SPLITS}")
    save_dir = Path(cfg.data.save_dir).expanduser()
    done = []
    for split in range(1, num_splits + 1):
        folder, own = save_dir / f"split_{split}", cfg.clone()
        own.data.split_id = split - 1
        logger.info("split %d of %d", split, num_splits)
        if (folder / "results.json").is_file():
            logger.info("split %d is complete: %s", split, folder)
        done.append(resume_or_skip(own, folder)["regdb"])
    results = done[0] | {
        "settings": [*mean_over_splits(done), *(setting for results in done for setting in results["settings"])],
        "checkpoint": [results["checkpoint"] for results in done],
        "config": [results["config"] for results in done],
        "versions": versions(),
    }
    report.write_with_table(save_dir / "results.json", results)
    return results


def mean_over_splits(done: list[dict]) -> list[dict]:
    """Averages each setting over the splits."""
    averaged = []
    for settings in zip(*(results["settings"] for results in done), strict=True):
        named = {"split": None, "splits": [setting["split"] for setting in settings], "num_trials": len(settings)}
        averaged.append(settings[0] | named | mean_and_std([setting["mean"] for setting in settings]))
    return averaged
