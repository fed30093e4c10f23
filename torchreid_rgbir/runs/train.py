"""Trains and tests a model from a configuration, as torchreid's scripts/main.py does."""

import logging
import sys
from pathlib import Path

import torch
from yacs.config import CfgNode

from torchreid_rgbir import distributed, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import atomic
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.folder import CONFIG, compare_with_run, run_folder
from torchreid_rgbir.runs.provenance import provenance, versions
from torchreid_rgbir.terminal import log_to

logger = logging.getLogger(__name__)


def train(cfg: CfgNode) -> CrossModalEngine:
    """Trains and tests a model, or only tests it with `test.evaluate True`. The run's files are in `data.save_dir`.

    Args:
        cfg: the complete configuration.

    Returns:
        The engine. Its `results` are the contents of results.json, and its `features` are those of the last test.

    Raises:
        ValueError, FileNotFoundError: the configuration, the data or a checkpoint has a mistake. Nothing was written.
    """
    checks.check(cfg)
    checks.check_model(cfg)
    host.utils.set_random_seed(cfg.train.seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True  # as in torchreid's script: search for the fastest convolutions
    with distributed.processes():
        if distributed.rank() > 0:
            with log_to(sys.stdout):  # `processes` discards the output of every process but the first
                engine = build_engine(cfg)
                engine.run(**run_kwargs(cfg))
                return engine
        return _train(cfg, Path(cfg.data.save_dir).expanduser())


def _train(cfg: CfgNode, save_dir: Path) -> CrossModalEngine:
    with run_folder(save_dir, "test.log" if cfg.test.evaluate else "train.log") as folder:
        if not cfg.test.evaluate:
            compare_with_run(save_dir, cfg)
        engine = build_engine(cfg)
        folder.open()
        # A test in the folder of a training run does not overwrite the files of the training.
        beside = "test-" if cfg.test.evaluate and (save_dir / CONFIG).exists() else ""
        written = save_dir / f"{beside}{CONFIG}"
        atomic.write_text(written, cfg.dump())
        engine.run(**run_kwargs(cfg))

        tested = engine.checkpoint_path or cfg.model.load_weights
        origin = {
            "checkpoint": tested,
            "config": str(written),
            "run": provenance(cfg, engine.datamanager, engine.seconds),
        }
        write_results(engine, save_dir / f"{beside}results.json", origin)
        if left_out := engine.datamanager.left_out:
            logger.warning(
                "%d images cannot be read and were skipped:\n  %s", len(left_out), "\n  ".join(left_out.values())
            )
    return engine


def write_results(engine: CrossModalEngine, path: Path, origin: dict) -> None:
    """Writes the results of the last test as JSON and as a Markdown table. Several data sets have one file each.

    Args:
        engine: after `run`.
        path: of the JSON file.
        origin: the origin of the numbers: `checkpoint`, `config` and more.
    """
    for name, results in engine.results.items():
        results |= origin | {"versions": versions()}
        own = path if len(engine.results) == 1 else path.with_stem(f"{path.stem}-{name}")
        report.write_results(own, results)
        report.write_text(own.with_suffix(".md"), report.markdown_table(results))
        logger.info("results written to %s, and as a table to %s", own, own.with_suffix(".md"))


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
