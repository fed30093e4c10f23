"""From a configuration to data, model, losses, optimizer and engine, with a user's mistakes found on the way."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import BaselineEngine, CrossModalEngine, EvalOptions, build_lr_scheduler
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.archive import unpacked
from torchreid_rgbir.files.checkpoint_folder import newest_good
from torchreid_rgbir.files.download import fetch, is_remote
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.losses.registry import LOSSES
from torchreid_rgbir.metrics import Rerank
from torchreid_rgbir.models import MODELS, DualResNet
from torchreid_rgbir.models.sync_batchnorm import synchronize
from torchreid_rgbir.runs.provenance import versions

logger = logging.getLogger(__name__)


def build_engine(cfg: CfgNode) -> CrossModalEngine:
    """Data, model, losses, optimizer and schedule of `cfg`, with the weights it asks for.

    Raises:
        ValueError, FileNotFoundError: a user's mistake.
    """
    use_gpu = torch.cuda.is_available()
    resume = checkpoint_to_resume(cfg)
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
        use_gpu=use_gpu,
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
        cache="none" if cfg.test.evaluate else cfg.data.cache,  # a test reads every image once anyway
        cache_dir=cfg.data.cache_dir,
    )
    if datamanager.sampler.num_own_ids < 2 and not cfg.train.gather_features:
        raise ValueError(
            f"train.batch_size {cfg.train.batch_size} leaves each process one identity and the losses compare at least 2: "
            "raise it, start fewer processes, or set train.gather_features True"
        )
    logger.info("an epoch is %d batches of %d images", len(datamanager.sampler), cfg.train.batch_size)
    model = build_model(cfg, datamanager.num_train_pids, pretrained=not (cfg.model.load_weights or resume))
    if cfg.model.load_weights:
        path = fetch(cfg.model.load_weights) if is_remote(cfg.model.load_weights) else cfg.model.load_weights
        kept = checkpoint.load_weights(model, path, cfg.model.allow_partial)
        if kept:
            logger.warning("%s lacks weights, which stay as they were: %s", cfg.model.load_weights, ", ".join(kept))
    device = torch.device("cuda" if use_gpu else "cpu")
    model = model.to(device)
    if isinstance(model, DualResNet):
        model = model.to(memory_format=torch.channels_last)
        if cfg.train.sync_batchnorm and distributed.world_size() > 1:
            model = synchronize(model, device)
    layers = [name for name, _ in model.named_children()]
    # torchreid would train everything at the lower rate, and not say so; or fail once the run has begun.
    for key, is_used in (("new_layers", cfg.train.staged_lr), ("open_layers", cfg.train.fixbase_epoch > 0)):
        unknown = [name for name in cfg.train[key] if name not in layers]
        if is_used and unknown:
            raise ValueError(f"train.{key}: {cfg.model.name} has no {unknown[0]}, choose from {', '.join(layers)}")
    optimizer = host.optim.build_optimizer(
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
    scheduler = build_lr_scheduler(
        optimizer,
        cfg.train.lr_scheduler,
        cfg.train.stepsize,
        cfg.train.gamma,
        cfg.train.max_epoch,
        cfg.train.warmup_epoch,
    )
    shared: dict[str, Any] = {
        "scheduler": scheduler,
        "use_gpu": use_gpu,
        "testing": testing(cfg),
        "about": about(cfg.model.name, model, datamanager) | {"config": cfg.dump()},
        **run_options(cfg),
    }
    engine: CrossModalEngine
    if cfg.loss.name == "mso":
        criterion = None if cfg.test.evaluate else build_criterion(cfg)
        engine = CrossModalEngine(datamanager, model, optimizer, criterion, **shared, **step_options(cfg))
    else:
        engine = BaselineEngine(
            datamanager,
            model,
            optimizer,
            loss=cfg.loss.name,
            label_smooth=cfg.loss.softmax.label_smooth,
            margin=cfg.loss.triplet.margin,
            weight_t=cfg.loss.triplet.weight_t,
            weight_x=cfg.loss.triplet.weight_x,
            **shared,
        )
    if resume:
        engine.resume(resume)
    elif cfg.model.resume and not cfg.test.evaluate:
        logger.info("no checkpoint in %s yet: starting at the beginning", cfg.data.save_dir)
    return engine


def checkpoint_to_resume(cfg: CfgNode) -> str:
    """The checkpoint that every process goes on from, "" for none.

    Raises:
        ValueError: all checkpoints of the run are damaged.
        FileNotFoundError: a test of the newest one, where there is none.
    """
    if cfg.test.evaluate and cfg.model.load_weights:
        return ""  # the configuration of a run that was resumed asks for both
    if cfg.model.resume != "auto":
        return cfg.model.resume
    folder = Path(cfg.data.save_dir).expanduser() / "model"
    # The first process decides: on another machine's disk there may be none, or another one.
    newest = distributed.broadcast_from_rank0(lambda: str(newest_good(folder) or ""))
    if cfg.test.evaluate and not newest:
        raise FileNotFoundError(f"{folder} holds no checkpoint to test: set model.load_weights CHECKPOINT")
    return newest


def build_model(cfg: CfgNode, num_classes: int, pretrained: bool = True) -> nn.Module:
    """The model of `cfg`, ours or torchreid's own.

    Args:
        num_classes: training identities.
        pretrained: False where the weights are about to be replaced, and need no download.

    Raises:
        FileNotFoundError: no pretrained weights, and no network.
    """
    pretrained = cfg.model.pretrained and pretrained
    if cfg.model.name in MODELS:
        return MODELS[cfg.model.name](
            num_classes, loss=cfg.loss.name, pretrained=pretrained, last_stride=cfg.model.last_stride
        )
    try:
        return host.models.build_model(cfg.model.name, num_classes, loss=cfg.loss.name, pretrained=pretrained)
    except OSError as error:  # of urllib and of requests alike
        raise FileNotFoundError(
            f"the pretrained weights of {cfg.model.name} are not in {torch.hub.get_dir()}/checkpoints and cannot be downloaded "
            f"({type(error).__name__}): put the file there, or set model.pretrained False"
        ) from error


def build_criterion(cfg: CfgNode) -> MSOLoss:
    """The sum of the losses that `cfg` asks for."""
    return MSOLoss(
        weight_id=cfg.loss.mso.weight_id,
        weight_wrt=cfg.loss.mso.weight_wrt,
        weight_pef=cfg.loss.mso.weight_pef,
        weight_cmcc=cfg.loss.mso.weight_cmcc,
        weight_wrt_sq=cfg.loss.mso.weight_wrt_sq,
        weight_tri=cfg.loss.mso.weight_tri,
        weight_hctri=cfg.loss.mso.weight_hctri,
        label_smooth=cfg.loss.softmax.label_smooth,
        pef_entry=cfg.loss.pef.entry,
        pef_weights=cfg.loss.pef.weights,
        pef_normalize=cfg.loss.pef.normalize,
        margin=cfg.loss.triplet.margin,
        cmcc_form=cfg.loss.cmcc.form,
        cmcc_normalize=cfg.loss.cmcc.normalize,
        gather_features=cfg.train.gather_features,
        own={name: cfg.loss.mso.get(f"weight_{name}", 0.0) for name in LOSSES},
    )


def testing(cfg: CfgNode) -> EvalOptions:
    """How `cfg` wants the model scored."""
    k1, k2, weight = cfg.test.rerank_settings
    return EvalOptions(
        query=cfg.test.query,
        sampling=cfg.test.sampling,
        feature=cfg.test.feature,
        flip=cfg.test.flip,
        rerank=Rerank(int(k1), int(k2), weight) if cfg.test.rerank else None,
    )


def run_options(cfg: CfgNode) -> dict:
    """How `cfg` wants the run kept and guarded: what a ResumableEngine takes."""
    return {
        "target_loss": cfg.train.target_loss,
        "checkpoint_freq": cfg.train.checkpoint_freq,
        "keep_checkpoints": cfg.train.keep_checkpoints,
        "max_skipped": cfg.train.max_skipped if cfg.train.on_nonfinite == "skip" else 0,
    }


def step_options(cfg: CfgNode) -> dict:
    """How `cfg` wants a step of the method's made."""
    return {
        "amp": cfg.train.amp,
        "accumulate": cfg.train.accumulate,
        "ema": cfg.train.ema,
        "compiled": cfg.train.compile,
    }


def about(name: str, model: nn.Module, datamanager: CrossModalDataManager) -> dict:
    """What a checkpoint says of itself: enough to use the model with nothing but the file."""
    facts = {"name": name, "num_classes": datamanager.num_train_pids}
    return {
        "model": facts | ({"last_stride": model.last_stride} if isinstance(model, DualResNet) else {}),
        "images": {
            "height": datamanager.height,
            "width": datamanager.width,
            "norm_mean": datamanager.transforms.mean.flatten().tolist(),
            "norm_std": datamanager.transforms.std.flatten().tolist(),
        },
        "versions": versions(),
    }
