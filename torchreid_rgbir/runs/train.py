"""Trains and tests a model from a configuration, as torchreid's scripts/main.py does."""

import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from torchreid_rgbir import distributed, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import atomic
from torchreid_rgbir.files.checkpoint_folder import BEST
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs import per_query
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.folder import CONFIG, compare_with_run, run_folder
from torchreid_rgbir.runs.provenance import provenance, versions
from torchreid_rgbir.terminal import log_to

logger = logging.getLogger(__name__)


def train(cfg: CfgNode) -> CrossModalEngine:
    """Trains and tests a model, or only tests it with `test.evaluate True`. The run's files are in `data.save_dir`.

    Returns:
        The engine. Its `results` are the contents of results.json, and its `features` are those of the last test.

    Raises:
        ValueError, FileNotFoundError: the configuration, the data or a checkpoint has a mistake. Nothing was written.
    """
    checks.check(cfg)
    host.utils.set_random_seed(cfg.train.seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True  # as in torchreid's script: search for the fastest convolutions
    save_dir = Path(cfg.data.save_dir).expanduser()
    with distributed.processes():
        if distributed.rank() == 0:
            output: Any = run_folder(save_dir, "test.log" if cfg.test.evaluate else "train.log")
        else:  # `processes` discards the output of every process but the first
            output = log_to(sys.stdout)
        with output as folder:
            if folder and not cfg.test.evaluate:
                compare_with_run(save_dir, cfg)
            engine = build_engine(cfg)
            # A test in the folder of a training run does not overwrite the files of the training.
            beside = "test-" if cfg.test.evaluate and (save_dir / CONFIG).exists() else ""
            if folder:
                folder.open()
                atomic.write_text(save_dir / f"{beside}{CONFIG}", cfg.dump())
            engine.run(**run_kwargs(cfg))
            if folder:
                tested = engine.checkpoint_path or cfg.model.load_weights
                chosen = "given" if cfg.test.evaluate else "last epoch"
                if Path(tested).name == BEST:
                    chosen = "best mAP of all tests, a choice made on test data"
                origin = {
                    "checkpoint": tested,
                    "chosen": chosen,
                    "config": str(save_dir / f"{beside}{CONFIG}"),
                    "run": provenance(cfg, engine.datamanager, engine.seconds),
                }
                write_results(engine, save_dir / f"{beside}results.json", origin, cfg.test.save_features)
                if left_out := engine.datamanager.left_out:
                    images = "\n  ".join(left_out.values())
                    logger.warning("%d images cannot be read and were skipped:\n  %s", len(left_out), images)
    return engine


def write_results(engine: CrossModalEngine, path: Path, origin: dict, save_features: bool = False) -> None:
    """Writes the results of the last test as JSON and as a Markdown table. Several data sets have one file each.

    Args:
        engine: after `run`.
        path: of the JSON file.
        origin: the origin of the numbers: `checkpoint`, `config` and more.
        save_features: first write the features and the scores of each query beside it (`test.save_features`).
    """
    for name, results in engine.results.items():
        results |= origin | {"versions": versions()}
        own = path_of(path, name, engine.results)
        if save_features:
            per_query.write(engine, name, own)
        report.write_with_table(own, results)
        logger.info("results written to %s, and as a table to %s", own, own.with_suffix(".md"))


def path_of(path: Path, dataset: str, datasets: Collection[str]) -> Path:
    """Returns the file for one of several data sets, such as results-regdb.json for results.json. A single one has `path`."""
    return path if len(datasets) == 1 else path.with_stem(f"{path.stem}-{dataset}")


def run_kwargs(cfg: CfgNode) -> dict:
    """Returns the arguments of the engine's `run`."""
    return {
        "save_dir": str(Path(cfg.data.save_dir).expanduser()),
        "max_epoch": cfg.train.max_epoch,
        "start_epoch": cfg.train.start_epoch,
        "fixbase_epoch": cfg.train.fixbase_epoch,
        "open_layers": cfg.train.open_layers,
        "start_eval": cfg.test.start_eval,
        "eval_freq": cfg.test.eval_freq,
        "test_only": cfg.test.evaluate,
        "print_freq": cfg.train.print_freq,
        "dist_metric": cfg.test.dist_metric,
        "normalize_feature": cfg.test.normalize_feature,
        "visrank": cfg.test.visrank,
        "visrank_topk": cfg.test.visrank_topk,
    }
