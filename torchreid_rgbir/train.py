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
from torchreid_rgbir import config, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import CrossModalEngine, Testing, build_lr_scheduler, checkpoint
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import Rerank, report
from torchreid_rgbir.models import MODELS, DualResNet

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
    with run_log(save_dir / ("test.log" if cfg.test.evaluate else "train.log")) as log:
        engine = build_engine(cfg)
        save_dir.mkdir(parents=True, exist_ok=True)
        log.open()
        # A test in the folder of a training run leaves that run's own record as it is.
        beside = "test_" if cfg.test.evaluate and (save_dir / "train.log").exists() else ""
        report.write_text(save_dir / f"{beside}config.yaml", cfg.dump())
        engine.run(**run_kwargs(cfg))

        tested = cfg.model.load_weights or cfg.model.resume if cfg.test.evaluate else engine.checkpoint_path
        origin = {"checkpoint": str(tested), "config": str(save_dir / f"{beside}config.yaml")}
        write_results(engine, save_dir / f"{beside}results.json", origin)
    return engine


def write_results(engine: CrossModalEngine, path: Path, origin: dict) -> None:
    """Writes what the last test found, as JSON and as a Markdown table; one file a data set where there are several.

    Args:
        engine: after `run`.
        path: of the JSON file.
        origin: what the numbers came from, `checkpoint` and `config`.
    """
    for name, results in engine.results.items():
        results |= origin | {"versions": versions()}
        own = path if len(engine.results) == 1 else path.with_stem(f"{path.stem}-{name}")
        report.write_results(own, results)
        report.write_text(own.with_suffix(".md"), report.markdown_table(results))
        logger.info("results written to %s, and as a table to %s", own, own.with_suffix(".md"))


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
        target_loss=cfg.train.target_loss,
        testing=testing(cfg),
        about=about(model, datamanager) | {"config": cfg.dump()},
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


def run_kwargs(cfg: CfgNode) -> dict:
    """The arguments of the engine's `run`."""
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
def log_to(stream: TextIO | io.TextIOBase) -> Iterator[None]:
    """Our log lines, bare, go to `stream` within."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("torchreid_rgbir")
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


@contextmanager
def run_log(path: Path) -> Iterator[RunLog]:
    """Everything printed or logged within goes to the console and, once `open` is called, to `path`."""
    log = RunLog(sys.stdout, path)
    sys.stdout, console = log, sys.stdout  # torchreid prints
    try:
        with log_to(log):
            yield log
    finally:
        sys.stdout = console
        log.file.close()
