"""From configuration keys to the arguments of engines."""

import logging
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.data.corrupted_images import Corruption
from torchreid_rgbir.engine import EvalOptions
from torchreid_rgbir.metrics import Rerank

logger = logging.getLogger(__name__)


def model_options(cfg: CfgNode) -> dict[str, Any]:
    """Returns the arguments of `models.loading.build_model` that do not depend on the data or on other weights."""
    return {
        "name": cfg.model.name,
        "loss": cfg.loss.name,
        "options": {
            "last_stride": cfg.model.last_stride,
            "pooling": cfg.model.pooling,
            "drop_path": cfg.model.drop_path,
        },
        "size": (cfg.data.height, cfg.data.width),
    }


def eval_options(cfg: CfgNode) -> EvalOptions:
    """Returns how `cfg` scores the model."""
    k1, k2, weight = cfg.test.rerank_settings
    corruption = Corruption(cfg.test.corruption, cfg.test.corruption_seed, cfg.test.corruption_repeats)
    return EvalOptions(
        query=cfg.test.query,
        sampling=cfg.test.sampling,
        feature=cfg.test.feature,
        flip=cfg.test.flip,
        rerank=Rerank(int(k1), int(k2), weight) if cfg.test.rerank else None,
        corruption=None if cfg.test.corruption == "none" else corruption,
    )


def run_options(cfg: CfgNode) -> dict:
    """Returns the arguments of ResumableEngine: how the run is saved and guarded."""
    return {
        "target_loss": cfg.train.target_loss,
        "checkpoint_freq": cfg.train.checkpoint_freq,
        "keep_checkpoints": cfg.train.keep_checkpoints,
        "max_skipped": cfg.train.max_skipped if cfg.train.on_nonfinite == "skip" else 0,
    }


def step_options(cfg: CfgNode) -> dict:
    """Returns the arguments of CrossModalEngine: the options of a training step."""
    return {
        "amp": cfg.train.amp,
        "accumulate": cfg.train.accumulate,
        "ema": cfg.train.ema,
        "compiled": cfg.train.compile,
    }


def warn_of_ir_range(ir_range: str, state: dict[str, Any]) -> None:
    """Warns if a rule is not that of the checkpoint's training. Checkpoints of version 0.1 used `dtype`.

    Args:
        ir_range: `data.ir_range` in the form in which checkpoints contain it (`str(parse_ir_range(...))`).
    """
    images = state.get("about", {}).get("images")
    trained = images.get("ir_range", "dtype") if images else ir_range
    if trained != ir_range:
        logger.warning(
            "the checkpoint was trained with data.ir_range %s, and the configuration has %s: if there are images of more "
            "than 8 bits, set data.ir_range %s",
            *(trained, ir_range, trained),
        )


def configuration(about: dict, weights: str | Path, root: str) -> CfgNode:
    """Returns the configuration of a checkpoint's run, changed to test the checkpoint.

    Raises:
        ValueError: the configuration has an unknown key, such as that of a custom loss that is not registered.
    """
    try:
        cfg = configuration_of_run(about)
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from None
    cfg.model.load_weights, cfg.model.resume, cfg.test.evaluate = str(weights), "", True
    cfg.data.ir_range = about.get("images", {}).get("ir_range", "dtype")  # the rule of earlier versions
    cfg.data.root = root or cfg.data.root
    cfg.test.corruption = "none"  # figures and measurements are of the images as they are
    return cfg


def configuration_of_run(about: dict) -> CfgNode:
    """Returns the configuration with which a checkpoint's run was started.  about: the checkpoint's metadata."""
    cfg, saved = config.defaults(), CfgNode.load_cfg(about["config"])
    known = config.keys(cfg)
    for key in config.keys(saved):
        if key not in known:
            raise ValueError(f"Non-existent config key: {key}: if a custom loss has this key, add --import FILE.py")
        # CfgNode.merge_from_other_cfg would read the text "7000,9000" as two numbers.
        section, _, name = key.rpartition(".")
        config.get(cfg, section)[name] = config.get(saved, key)
    return cfg
