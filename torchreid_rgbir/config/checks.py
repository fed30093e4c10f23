"""Checks a configuration before anything is built."""

import difflib
import math
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir import config, distributed, host
from torchreid_rgbir.config.schema import PARSERS, POSITIVE, choices, files, ranges
from torchreid_rgbir.data import SAMPLERS
from torchreid_rgbir.files.download import is_remote
from torchreid_rgbir.losses import LOSSES
from torchreid_rgbir.losses.vgg import MIN_SIZE
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import OPTIONS
from torchreid_rgbir.models.timm_factory import PREFIX, check_name

# Keys under `train` that belong to the method's training step. torchreid's models do not use them.
STEP_KEYS = ("amp", "accumulate", "ema", "compile", "gather_features", "sync_batchnorm", "on_nonfinite", "layer_decay")


def check(cfg: CfgNode) -> None:
    """Checks everything that does not depend on the data.

    Raises:
        FileNotFoundError: a checkpoint is missing.
        ValueError: a value is not allowed. The message contains the key, its value and the allowed values.
    """
    for key, values in choices().items():
        value = config.get(cfg, key)
        if key in files() and value not in values:
            if not Path(value).expanduser().is_file():
                raise FileNotFoundError(
                    f"{key} {value} is missing: give {', '.join(values)}, or the path of a file with weights"
                )
        elif value not in values:
            raise ValueError(f"{key} is {value!r}: choose from {', '.join(map(str, values))}")
    for key in POSITIVE:
        if not 0 < config.get(cfg, key) < math.inf:
            raise ValueError(f"{key} is {config.get(cfg, key)}: it must be a number above 0")
    for key, (low, high) in ranges().items():
        if not low <= config.get(cfg, key) <= high or math.isinf(config.get(cfg, key)):
            limits = "or more" if high == math.inf else f"to {high}"
            raise ValueError(f"{key} is {config.get(cfg, key)}: it must be {low} {limits}")
    for key, parse in PARSERS.items():
        parse(config.get(cfg, key))
    _check_losses(cfg)
    _check_model(cfg)
    _check_compile(cfg)
    for key, above in (("norm_mean", ""), ("norm_std", ", above 0")):
        values = cfg.data[key]
        if len(values) != 3 or not all(math.isfinite(v) and (v > 0 or not above) for v in values):
            raise ValueError(f"data.{key} is {values}: give three numbers, one per channel{above}")
    if not cfg.data.sources:
        raise ValueError("data.sources is empty: give a data set (-s sysu_mm01)")
    if not cfg.data.save_dir:
        raise ValueError("data.save_dir is empty: set it to the folder of the run, such as log/mso")
    if cfg.train.start_epoch >= cfg.train.max_epoch:
        raise ValueError(
            f"train.start_epoch is {cfg.train.start_epoch} of {cfg.train.max_epoch} epochs, so there is nothing to "
            "train: increase train.max_epoch"
        )
    k1, k2, weight = cfg.test.rerank_settings if len(cfg.test.rerank_settings) == 3 else (0, 0, 0)
    if k1 < 1 or k2 < 1 or k1 % 1 or k2 % 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"test.rerank_settings is {cfg.test.rerank_settings}: give k1, k2 and lambda, two whole numbers and a "
            "fraction, such as [20, 6, 0.3]"
        )
    if cfg.test.visrank and not cfg.test.evaluate:
        raise ValueError(
            "test.visrank draws ranked results of a trained model: set test.evaluate True and model.load_weights"
        )
    if cfg.model.load_weights and cfg.model.resume not in ("", "auto"):
        raise ValueError(
            "model.load_weights and model.resume are both set: keep resume to continue a run, or load_weights to start it"
        )
    if cfg.test.evaluate and not (cfg.model.load_weights or cfg.model.resume):
        raise ValueError(
            "test.evaluate True without weights would score an untrained network: set model.load_weights CHECKPOINT"
        )
    if cfg.train.layer_decay < 1 and cfg.train.staged_lr:
        raise ValueError("train.layer_decay and train.staged_lr both set learning rates by layer: keep one of them")
    if isinstance(cfg.model.pretrained, str) and not Path(cfg.model.pretrained).expanduser().is_file():
        raise FileNotFoundError(
            f"model.pretrained {cfg.model.pretrained} is missing: give True, False, or the path of a file with weights"
        )
    for key, path in (("load_weights", cfg.model.load_weights), ("resume", cfg.model.resume)):
        elsewhere = path == "auto" if key == "resume" else is_remote(path)
        is_there = Path(path).expanduser().is_file() or (key == "load_weights" and Path(path).expanduser().is_dir())
        if path and not elsewhere and not is_there:
            raise FileNotFoundError(
                f"model.{key} {path} is missing: give the path of a checkpoint (model/model.pth.tar-EPOCH)"
            )


def _check_model(cfg: CfgNode) -> None:
    """The model is known, and the loss and the options of training and test belong to it."""
    name, loss = cfg.model.name, cfg.loss.name
    if name.startswith(PREFIX):
        check_name(name.removeprefix(PREFIX))
    elif name not in host.model_names():
        near = difflib.get_close_matches(name, host.model_names(), n=3) or ["resnet50", "osnet_x1_0"]
        raise ValueError(
            f"model.name {name} is unknown: choose {', '.join(MODELS)}, or a model of torchreid such as "
            f"{', '.join(near)}, or register a custom one with --import FILE.py"
        )
    if name in MODELS:
        if loss != "mso":
            raise ValueError(f"loss.name is {loss}: set loss.name mso for {name}, and the weights under loss.mso")
        return
    if loss == "mso":
        raise ValueError(
            f"loss.name is mso, but {name} has one stream: set model.name dual_resnet50, or loss.name softmax or triplet"
        )
    ours = [f"train.{key}" for key in STEP_KEYS if cfg.train[key] != config.defaults().train[key]]
    ours += [f"model.{key}" for key, value in OPTIONS.items() if cfg.model[key] != value]
    if ours or distributed.asked_for():
        what = ours[0] if ours else "torchrun"
        raise ValueError(f"{what} is not available for {name}, because torchreid's engine trains it: remove {what}")
    if cfg.test.feature != "bn":
        raise ValueError(f"test.feature is {cfg.test.feature}, but {name} has only one feature: remove test.feature")


def _check_compile(cfg: CfgNode) -> None:
    """A step that is compiled as a whole has batches of one size, in one process."""
    if cfg.train.compile != "step" or cfg.test.evaluate:
        return
    if not SAMPLERS[cfg.sampler.name].is_balanced:
        raise ValueError(
            f"train.compile step needs batches with the same number of RGB images, which sampler.name {cfg.sampler.name} does not "
            "make: set train.compile True"
        )
    if distributed.asked_for():
        raise ValueError(
            "train.compile step works in one process only: set train.compile True, or start without torchrun"
        )


def _check_losses(cfg: CfgNode) -> None:
    """There is a loss, the images are large enough for it, and it reaches the layers that are trained first."""
    loss, weights = cfg.loss.name, cfg.loss.mso
    sums = {"mso": list(weights.values()), "triplet": [cfg.loss.triplet.weight_t, cfg.loss.triplet.weight_x]}
    if not any(sums.get(loss, [1])):
        raise ValueError(f"every weight under loss.{loss} is 0, so there is nothing to train: set one above 0")
    if loss != "mso":
        return
    if min(cfg.data.height, cfg.data.width) < MIN_SIZE and weights.weight_pef:
        raise ValueError(
            f"data.height and data.width are {cfg.data.height} and {cfg.data.width}, too small for VGG in the "
            f"perceptual edge loss: set both to {MIN_SIZE} or more, or loss.mso.weight_pef to 0"
        )
    if cfg.test.evaluate or not cfg.train.fixbase_epoch:
        return
    reached = {LOSSES[name].reaches for name in LOSSES if weights[f"weight_{name}"]}
    layers = set(cfg.train.open_layers)
    if "all" not in reached:
        layers -= {"classifier"}
        if reached == {"layer0"}:
            layers &= {"layer0"}
    if not layers:
        raise ValueError(
            f"train.fixbase_epoch {cfg.train.fixbase_epoch} first trains only {', '.join(cfg.train.open_layers) or 'no layer'}, "
            "and no loss reaches it: set loss.mso.weight_id above 0, add layers to train.open_layers, or set "
            "train.fixbase_epoch 0"
        )
