"""From a configuration to a trained and tested model: what torchreid's scripts/main.py does, for cross-modal data."""

import io
import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy
import torch
import torchvision
from yacs.config import CfgNode

import torchreid_rgbir
from torchreid_rgbir import config, distributed, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import CrossModalEngine, Testing, build_lr_scheduler, checkpoint
from torchreid_rgbir.engine.update import fused
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import Rerank, report
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.sync_batchnorm import synchronize

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
    with distributed.processes(), run_log(save_dir / ("test.log" if cfg.test.evaluate else "train.log")) as log:
        engine = build_engine(cfg)
        if distributed.rank() == 0:
            save_dir.mkdir(parents=True, exist_ok=True)
            log.open()
            (save_dir / "config.yaml").write_text(cfg.dump(), encoding="utf-8")
        engine.run(**run_kwargs(cfg))
        if distributed.rank() == 0:
            write_results(cfg, engine, save_dir)
    return engine


def write_results(cfg: CfgNode, engine: CrossModalEngine, save_dir: Path) -> None:
    """results.json and a table of each data set's last test."""
    tested = cfg.model.load_weights or cfg.model.resume if cfg.test.evaluate else engine.checkpoint_path
    for name, results in engine.results.items():
        results |= {"checkpoint": str(tested), "config": str(save_dir / "config.yaml"), "versions": versions()}
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
    datamanager = CrossModalDataManager(
        root=cfg.data.root,
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
    model = MODELS[cfg.model.name](
        datamanager.num_train_pids,
        loss=cfg.loss.name,
        # Weights that are about to be replaced need no download.
        pretrained=cfg.model.pretrained and not (cfg.model.load_weights or cfg.model.resume),
        last_stride=cfg.model.last_stride,
    )
    if cfg.model.load_weights:
        checkpoint.load_weights(model, cfg.model.load_weights)
    device = torch.device("cuda" if use_gpu else "cpu")
    model = model.to(device).to(memory_format=torch.channels_last)
    if cfg.train.sync_batchnorm and distributed.world_size() > 1:
        model = synchronize(model, device)
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
    optimizer = fused(optimizer)
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
        target_loss=cfg.train.target_loss,
        testing=Testing(
            query=cfg.test.query,
            sampling=cfg.test.sampling,
            feature=cfg.test.feature,
            flip=cfg.test.flip,
            rerank=Rerank(*cfg.test.rerank_settings) if cfg.test.rerank else None,
        ),
        about=about(cfg, datamanager),
        amp=cfg.train.amp,
        accumulate=cfg.train.accumulate,
        ema=cfg.train.ema,
        compiled=cfg.train.compile,
    )
    if cfg.model.resume:
        cfg.train.start_epoch = engine.resume(cfg.model.resume)
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
        gather_features=cfg.train.gather_features,
    )


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


def about(cfg: CfgNode, datamanager: CrossModalDataManager) -> dict:
    """What a checkpoint says of itself: enough to use the model with nothing but the file."""
    return {
        "model": {
            "name": cfg.model.name,
            "num_classes": datamanager.num_train_pids,
            "last_stride": cfg.model.last_stride,
        },
        "images": {
            "height": cfg.data.height,
            "width": cfg.data.width,
            "norm_mean": list(cfg.data.norm_mean),
            "norm_std": list(cfg.data.norm_std),
        },
        "config": cfg.dump(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of everything that a number may depend on."""
    return {
        "torchreid_rgbir": torchreid_rgbir.__version__,
        "torchreid": host.torchreid.__version__,
        "torch": str(torch.__version__),  # a TorchVersion is not plain text
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


class RunLog(io.TextIOBase):
    """Standard output, kept as well: in memory until `open`, in the log file from then on.

    A run that ends at the door, with a user's mistake, thus leaves no file and no folder behind.
    """

    def __init__(self, console: TextIO, path: Path):
        self.console = console
        self.path = path
        self.early = io.StringIO()
        self.file: TextIO = self.early

    def open(self) -> None:
        self.file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.file.write(self.early.getvalue())

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.console.write(text)

    def flush(self) -> None:
        self.console.flush()
        self.file.flush()

    def isatty(self) -> bool:
        return self.console.isatty()


@contextmanager
def run_log(path: Path) -> Iterator[RunLog]:
    """Everything printed or logged within goes to the console and, once `open` is called, to `path`."""
    log = RunLog(sys.stdout, path)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("torchreid_rgbir")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    sys.stdout, console = log, sys.stdout  # torchreid prints
    try:
        yield log
    finally:
        sys.stdout = console
        ours.removeHandler(handler)
        ours.setLevel(level)
        log.file.close()
