"""From a configuration to a trained and tested model: what torchreid's scripts/main.py does, for cross-modal data."""

import logging
from pathlib import Path

import torch
from yacs.config import CfgNode

from torchreid_rgbir import atomic, config, host
from torchreid_rgbir.data.archive import unpacked
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.download import fetch, is_remote
from torchreid_rgbir.engine import CrossModalEngine, Testing, build_lr_scheduler, checkpoint
from torchreid_rgbir.engine.checkpoint_folder import newest_good
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import Rerank, report
from torchreid_rgbir.models import MODELS, DualResNet
from torchreid_rgbir.provenance import provenance, versions
from torchreid_rgbir.run_folder import CONFIG, check_unused, run_folder

logger = logging.getLogger(__name__)


def train(cfg: CfgNode) -> CrossModalEngine:
    """Trains and tests as `cfg` says (only tests with `test.evaluate True`) and leaves the run's files in `data.save_dir`.

    Returns:
        The engine, with `results` (what results.json holds) and `features` of each data set's last test.

    Raises:
        ValueError, FileNotFoundError: a user's mistake; found before anything is written.
    """
    config.check(cfg)
    host.utils.set_random_seed(cfg.train.seed)
    save_dir = Path(cfg.data.save_dir).expanduser()
    with run_folder(save_dir, "test.log" if cfg.test.evaluate else "train.log") as folder:
        if not (cfg.test.evaluate or cfg.model.resume):
            check_unused(save_dir, cfg)
        engine = build_engine(cfg)
        folder.open()
        written = save_dir / (f"test-{CONFIG}" if cfg.test.evaluate and (save_dir / CONFIG).exists() else CONFIG)
        atomic.write_text(written, cfg.dump())
        engine.run(**run_kwargs(cfg))

        tested = cfg.model.load_weights or engine.checkpoint_path
        origin = {"checkpoint": tested, "config": str(written)}
        write_results(engine, save_dir, origin | {"run": provenance(cfg, engine.datamanager, engine.seconds)})
        if left_out := engine.datamanager.left_out:
            logger.warning(
                "%d images cannot be read and were left out:\n  %s", len(left_out), "\n  ".join(left_out.values())
            )
    return engine


def write_results(engine: CrossModalEngine, save_dir: Path, origin: dict) -> None:
    """Writes what the last test of each data set found, as JSON and as a Markdown table.

    Args:
        engine: after `run`.
        save_dir: the run's folder.
        origin: what the numbers came from: `checkpoint`, `config` and more.
    """
    for name, results in engine.results.items():
        results |= origin | {"versions": versions()}
        path = save_dir / ("results.json" if len(engine.results) == 1 else f"results-{name}.json")
        report.write_results(path, results)
        report.write_text(path.with_suffix(".md"), report.markdown_table(results))
        logger.info("results written to %s, and as a table to %s", path, path.with_suffix(".md"))


def build_engine(cfg: CfgNode) -> CrossModalEngine:
    """Data, model, losses, optimizer and schedule of `cfg`, with the weights it asks for.

    Raises:
        ValueError, FileNotFoundError: a user's mistake.
    """
    use_gpu = torch.cuda.is_available()
    resume = cfg.model.resume
    if resume == "auto":
        resume = str(newest_good(Path(cfg.data.save_dir).expanduser() / "model") or "")
    datamanager = CrossModalDataManager(
        root=unpacked(cfg.data.root),
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
    )
    logger.info("an epoch is %d batches of %d images", len(datamanager.sampler), cfg.train.batch_size)
    model = MODELS[cfg.model.name](
        datamanager.num_train_pids,
        loss=cfg.loss.name,
        # Weights that are about to be replaced need no download.
        pretrained=cfg.model.pretrained and not (cfg.model.load_weights or resume),
        last_stride=cfg.model.last_stride,
    )
    if cfg.model.load_weights:
        path = fetch(cfg.model.load_weights) if is_remote(cfg.model.load_weights) else cfg.model.load_weights
        kept = checkpoint.load_weights(model, path, cfg.model.allow_partial)
        if kept:
            logger.warning("%s lacks weights, which stay as they were: %s", cfg.model.load_weights, ", ".join(kept))
    model = model.to("cuda" if use_gpu else "cpu").to(memory_format=torch.channels_last)
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
    engine = CrossModalEngine(
        datamanager,
        model,
        optimizer,
        criterion=None if cfg.test.evaluate else build_criterion(cfg),
        scheduler=scheduler,
        use_gpu=use_gpu,
        testing=testing(cfg),
        about=about(model, datamanager) | {"config": cfg.dump()},
        **run_options(cfg),
    )
    if resume:
        engine.resume(resume)
    elif cfg.model.resume:
        logger.info("no checkpoint in %s yet: starting at the beginning", cfg.data.save_dir)
    return engine


def build_criterion(cfg: CfgNode) -> MSOLoss:
    """The sum of the losses that `cfg` asks for."""
    return MSOLoss(
        weight_id=cfg.loss.mso.weight_id,
        weight_wrt=cfg.loss.mso.weight_wrt,
        weight_pef=cfg.loss.mso.weight_pef,
        weight_cmcc=cfg.loss.mso.weight_cmcc,
        label_smooth=cfg.loss.softmax.label_smooth,
        pef_entry=cfg.loss.pef.entry,
        pef_weights=cfg.loss.pef.weights,
        cmcc_form=cfg.loss.cmcc.form,
        cmcc_normalize=cfg.loss.cmcc.normalize,
    )


def testing(cfg: CfgNode) -> Testing:
    """How `cfg` wants the model scored."""
    return Testing(
        query=cfg.test.query,
        sampling=cfg.test.sampling,
        feature=cfg.test.feature,
        flip=cfg.test.flip,
        rerank=Rerank(*cfg.test.rerank_settings) if cfg.test.rerank else None,
    )


def run_options(cfg: CfgNode) -> dict:
    """How `cfg` wants the run kept and guarded: what a ResumableEngine takes."""
    return {
        "target_loss": cfg.train.target_loss,
        "checkpoint_freq": cfg.train.checkpoint_freq,
        "keep_checkpoints": cfg.train.keep_checkpoints,
        "max_skipped": cfg.train.max_skipped if cfg.train.on_nonfinite == "skip" else 0,
    }


def run_kwargs(cfg: CfgNode) -> dict:
    """The arguments of the engine's `run`."""
    return {
        "save_dir": cfg.data.save_dir,
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


def about(model: DualResNet, datamanager: CrossModalDataManager) -> dict:
    """What a checkpoint says of itself: enough to use the model with nothing but the file."""
    return {
        "model": {
            "name": model.name,
            "num_classes": model.classifier.out_features,
            "last_stride": model.last_stride,
        },
        "images": {
            "height": datamanager.height,
            "width": datamanager.width,
            "norm_mean": datamanager.transforms.mean.flatten().tolist(),
            "norm_std": datamanager.transforms.std.flatten().tolist(),
        },
        "versions": versions(),
    }
