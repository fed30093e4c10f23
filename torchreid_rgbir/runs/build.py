"""Builds data, model, losses, optimizer and engine from a configuration."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from torchreid_rgbir import config, distributed, host
from torchreid_rgbir.config.schema import loss_options
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import BaselineEngine, CrossModalEngine, build_lr_scheduler
from torchreid_rgbir.engine.metadata import metadata
from torchreid_rgbir.engine.schedule import decay_by_depth
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.archive import unpacked
from torchreid_rgbir.files.checkpoint_folder import newest_good
from torchreid_rgbir.files.download import fetch
from torchreid_rgbir.losses import LOSSES, MSOLoss
from torchreid_rgbir.losses.mso import argument
from torchreid_rgbir.losses.perceptual_edge import check_maps
from torchreid_rgbir.models import TwoStreamNetwork, loading
from torchreid_rgbir.models.sync_batchnorm import synchronize
from torchreid_rgbir.runs.options import eval_options, model_options, run_options, step_options, warn_of_ir_range

logger = logging.getLogger(__name__)


def build_engine(cfg: CfgNode) -> CrossModalEngine:
    """Builds everything that a configuration describes, and loads its weights.

    Raises:
        ValueError, FileNotFoundError: the configuration, the data or a checkpoint has a mistake.
    """
    resumed = checkpoint_to_resume(cfg)
    options = model_options(cfg)
    datamanager = build_datamanager(cfg)
    device = torch.device("cuda" if datamanager.use_gpu else "cpu")
    pretrained = False if cfg.model.load_weights or resumed else cfg.model.pretrained
    with distributed.first_on_this_machine():  # one process downloads pretrained weights
        model: Any = loading.build_model(num_classes=datamanager.num_train_pids, pretrained=pretrained, **options)
        criterion = build_criterion(cfg, model) if cfg.loss.name == "mso" and not cfg.test.evaluate else None
    model = model.to(device)
    if isinstance(model, TwoStreamNetwork):
        model = model.to(memory_format=torch.channels_last)
        if cfg.train.sync_batchnorm and distributed.world_size() > 1:
            model = synchronize(model, device)
    source, state = resumed or (cfg.model.load_weights, None)
    if source:
        path = fetch(source)
        state = state or checkpoint.load(path)
        missing = [] if resumed else checkpoint.load_weights(model, path, cfg.model.allow_partial, state)
        if missing == [f"{checkpoint.CLASSIFIER}weight"]:
            num_pids = datamanager.num_train_pids
            logger.warning(
                "%s has no classifier for %d training identities: it is skipped, and tests do not need it",
                source,
                num_pids,
            )
        elif missing:
            logger.warning("%s lacks weights, which keep their initial values: %s", source, ", ".join(missing))
    if state and (resumed or cfg.test.evaluate):
        warn_of_ir_range(datamanager.ir_range, state)
    engine = _build_engine(cfg, datamanager, model, criterion)
    if resumed:
        engine.resume(source, state)
    elif cfg.model.resume and not cfg.test.evaluate:
        logger.info("there is no checkpoint in %s yet: the run starts from the beginning", cfg.data.save_dir)
    return engine


def _build_engine(
    cfg: CfgNode, datamanager: CrossModalDataManager, model: Any, criterion: MSOLoss | None
) -> CrossModalEngine:
    options: dict[str, Any] = {"use_gpu": datamanager.use_gpu, "eval_options": eval_options(cfg), **run_options(cfg)}
    optimizer, step = build_optimizer(cfg, model), step_options(cfg)
    options["metadata"] = metadata(cfg.model.name, model, datamanager) | {"config": cfg.dump()}
    if cfg.train.layer_decay < 1:
        decay_by_depth(optimizer, model, cfg.train.layer_decay)
    if criterion is not None:
        criterion.to(next(model.parameters()).device)
        if trained := [parameter for parameter in criterion.parameters() if parameter.requires_grad]:
            optimizer.add_param_group({"params": trained})
    schedule = cfg.train.lr_scheduler, cfg.train.stepsize, cfg.train.gamma, cfg.train.max_epoch
    warmup = cfg.train.warmup_epoch, cfg.train.warmup_start
    options["scheduler"] = build_lr_scheduler(optimizer, *schedule, *warmup)
    if cfg.loss.name == "mso":
        return CrossModalEngine(datamanager, model, optimizer, criterion, **options, **step)
    options |= {"label_smooth": cfg.loss.softmax.label_smooth, "margin": cfg.loss.triplet.margin}
    options |= {"weight_t": cfg.loss.triplet.weight_t, "weight_x": cfg.loss.triplet.weight_x}
    return BaselineEngine(datamanager, model, optimizer, loss=cfg.loss.name, **options)


def build_datamanager(cfg: CfgNode) -> CrossModalDataManager:
    """Builds the data sets of `cfg` and their loaders.

    Raises:
        ValueError, FileNotFoundError: as CrossModalDataManager; also, a batch is too small for the number of processes.
    """
    with distributed.first_on_this_machine():
        root = unpacked(cfg.data.root)
    datamanager = CrossModalDataManager(
        root=root,
        sources=cfg.data.sources,
        targets=cfg.data.targets or None,
        height=cfg.data.height,
        width=cfg.data.width,
        transforms=cfg.data.transforms,
        norm_mean=cfg.data.norm_mean,
        norm_std=cfg.data.norm_std,
        use_gpu=torch.cuda.is_available(),
        split_id=cfg.data.split_id,
        combineall=cfg.data.combineall,
        batch_size_train=cfg.train.batch_size,
        batch_size_test=cfg.test.batch_size,
        workers=cfg.data.workers,
        num_instances=cfg.sampler.num_instances,
        batches_per_epoch=cfg.sampler.batches_per_epoch,
        seed=cfg.train.seed,
        skip_broken=cfg.data.skip_broken,
        transforms_rgb=cfg.data.transforms_rgb,
        transforms_ir=cfg.data.transforms_ir,
        cache="none" if cfg.test.evaluate else cfg.data.cache,  # a test reads every image only once
        cache_dir=cfg.data.cache_dir,
        ir_range=cfg.data.ir_range,
        ir=cfg.data.ir,
        balance=cfg.sampler.balance,
        sampler=cfg.sampler.name,
        transforms_rgb2=cfg.data.transforms_rgb2,
    )
    if datamanager.sampler.num_own_ids < 2 and not cfg.train.gather_features:
        raise ValueError(
            f"train.batch_size {cfg.train.batch_size} gives each process one identity, and the losses compare at least "
            "2: increase it, start fewer processes, or set train.gather_features True"
        )
    logger.info("an epoch is %d batches of %d images", len(datamanager.sampler), cfg.train.batch_size)
    return datamanager


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Builds torchreid's optimizer for the model.

    Raises:
        ValueError: a layer in `cfg` does not exist in the model.
    """
    layers = [name for name, _ in model.named_children()]
    # For unknown layers, torchreid would train every layer at the lower rate without a message, or fail during the run.
    for key, is_used in (("new_layers", cfg.train.staged_lr), ("open_layers", cfg.train.fixbase_epoch > 0)):
        unknown = [name for name in cfg.train[key] if name not in layers]
        if is_used and unknown:
            raise ValueError(f"train.{key}: {cfg.model.name} has no {unknown[0]}, choose from {', '.join(layers)}")
    return host.optim.build_optimizer(
        model,
        optim=cfg.train.optim,
        lr=cfg.train.lr,
        weight_decay=cfg.train.weight_decay,
        momentum=cfg.sgd.momentum,
        sgd_dampening=cfg.sgd.dampening,
        sgd_nesterov=cfg.sgd.nesterov,
        rmsprop_alpha=cfg.rmsprop.alpha,
        adam_beta1=cfg.adam.beta1,
        adam_beta2=cfg.adam.beta2,
        staged_lr=cfg.train.staged_lr,
        new_layers=cfg.train.new_layers,
        base_lr_mult=cfg.train.base_lr_mult,
    )


def checkpoint_to_resume(cfg: CfgNode) -> tuple[str, dict[str, Any] | None] | None:
    """The path of the checkpoint that every process continues from, if any, and its contents if they were read already.

    Raises:
        ValueError: all checkpoints of the run are damaged.
        FileNotFoundError: the newest checkpoint is to be tested, and there is none.
    """
    if not cfg.model.resume or (cfg.test.evaluate and cfg.model.load_weights):
        return None  # the configuration of a resumed run may have both
    if cfg.model.resume != "auto":
        return cfg.model.resume, None
    folder = Path(cfg.data.save_dir).expanduser() / "model"
    # The first process decides, because the disk of a different machine may have different checkpoints.
    found = newest_good(folder) if distributed.rank() == 0 else None
    path = distributed.broadcast_from_rank0(lambda: str(found[0]) if found else "")
    if cfg.test.evaluate and not path:
        raise FileNotFoundError(f"{folder} has no checkpoint to test: set model.load_weights CHECKPOINT")
    return (path, found[1] if found else None) if path else None


def build_model(cfg: CfgNode, num_classes: int, pretrained: bool = True) -> nn.Module:
    """Builds the model of `cfg`: a two-stream network or one of torchreid's models.

    Args:
        num_classes: the number of training identities.
        pretrained: False if the weights will be replaced, so that nothing is downloaded.

    Raises:
        FileNotFoundError: the pretrained weights are not in torch's cache, and there is no network.
    """
    weights = pretrained and cfg.model.pretrained
    return loading.build_model(num_classes=num_classes, pretrained=weights, **model_options(cfg))


def build_criterion(cfg: CfgNode, model: TwoStreamNetwork) -> MSOLoss:
    """Builds the weighted sum of the losses of `cfg`, for a model with its classifier."""
    settings = {f"weight_{name}": cfg.loss.mso[f"weight_{name}"] for name in LOSSES}
    for name in LOSSES:
        for key in loss_options(name):
            settings[argument(name, key.rpartition(".")[2])] = config.get(cfg, key)
    if cfg.loss.mso.weight_pef:
        shape = model.layer0_shape(cfg.data.height, cfg.data.width)
        check_maps(model.name, shape, (cfg.data.height, cfg.data.width), cfg.loss.pef.entry)
    num_classes = model.classifier.out_features
    return MSOLoss(num_classes, model.feature_dim, cfg.train.gather_features, **settings)
