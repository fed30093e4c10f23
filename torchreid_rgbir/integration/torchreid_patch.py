"""torchreid's own names, answered by the plugin where the data is cross-modal, so that code written for torchreid trains the method unchanged.

After `install()`, `ImageDataManager` with cross-modal sources makes a `CrossModalDataManager`, and `ImageTripletEngine` over it a `CrossModalEngine`:
subclasses of what was asked for, so `isinstance` and subclassing go on working. Everything else reaches torchreid as before.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from torchreid_rgbir import config, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.data.manager import CrossModalDataManager, is_cross_modal
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.engine.schedule import WARMUPS, build_lr_scheduler
from torchreid_rgbir.models import DualResNet
from torchreid_rgbir.models.loading import bare_model
from torchreid_rgbir.runs.build import build_criterion, eval_options, metadata, run_options
from torchreid_rgbir.runs.train import write_results
from torchreid_rgbir.terminal import log_to

# The keys of ours that torchreid's scripts have no word for.
SETTINGS = (
    *("loss.mso.", "loss.pef.", "loss.cmcc.", "sampler.batches_per_epoch", "train.warmup_epoch", "train.target_loss"),
    *("train.checkpoint_freq", "train.keep_checkpoints", "train.on_nonfinite", "train.max_skipped"),
    *("test.query", "test.sampling", "test.feature", "test.flip", "test.rerank_settings"),
)

_settings: CfgNode = config.defaults()


def install(overrides: Sequence[str] = ()) -> None:
    """Prepares torchreid for cross-modal data; a second call only changes the settings.

    Args:
        overrides: KEY VALUE words for keys under `SETTINGS`, such as ["loss.pef.entry", "conv2"]. The other keys are the caller's to choose.

    Raises:
        ValueError: an unknown key, a value that cannot be, or a key that is the caller's.
    """
    global _settings
    settings = config.override(config.defaults(), overrides)
    foreign = [key for key in overrides[::2] if not key.startswith(SETTINGS)]
    if foreign:
        raise ValueError(f"{foreign[0]} is torchreid's own key: give it to the script, not to the plugin")
    checks.check(settings)
    _settings = settings
    host.alias()
    _answer(host.data.ImageDataManager, _choose_data_manager)
    _answer(host.data.VideoDataManager, _choose_video)
    _answer(host.engine.ImageTripletEngine, _choose_triplet)
    _answer(host.engine.ImageSoftmaxEngine, _choose_softmax)
    if not hasattr(host.optim.build_lr_scheduler, "__wrapped__"):
        _replace("optim", "lr_scheduler", "build_lr_scheduler", _with_warmup)
        _replace("utils", "torchtools", "resume_from_checkpoint", _past_data_parallel)


class PatchedDataManager(CrossModalDataManager):
    """torchreid's `ImageDataManager(...)`, called with its own arguments, for cross-modal sources.

    Batches are always P x K x 2, so what chooses among torchreid's samplers has no meaning here; `seed` follows torch's.

    Raises:
        ValueError: `k_tfm` above 1 or `load_train_targets`, which need another batch; and those of CrossModalDataManager.
    """

    def __init__(self, *args, **kwargs):
        arguments = inspect.signature(host.data.ImageDataManager.__init__).bind(self, *args, **kwargs).arguments
        if arguments.get("k_tfm", 1) != 1 or arguments.get("load_train_targets"):
            raise ValueError(
                "data.k_tfm above 1 and data.load_train_targets are for data of one modality: leave them out"
            )
        self.root = arguments.get("root", "")
        known = inspect.signature(CrossModalDataManager).parameters
        super().__init__(
            **{name: value for name, value in arguments.items() if name in known},
            batches_per_epoch=_settings.sampler.batches_per_epoch,
            seed=torch.initial_seed() % 2**32,
        )


class PatchedEngine(CrossModalEngine):
    """torchreid's `ImageTripletEngine(...)`, called with its own arguments, over cross-modal data.

    `weight_t` and `weight_x` are of torchreid's own losses: the method's parts are weighed by the plugin's `loss.mso`. `margin` is of the parts that
    have one.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: Optimizer,
        margin: float = 0.3,
        weight_t: float = 1,
        weight_x: float = 1,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
        label_smooth: bool = True,
    ):
        self.settings = _settings.clone()
        self.settings.loss.softmax.label_smooth = label_smooth
        self.settings.loss.triplet.margin = margin
        inner = bare_model(model).to(memory_format=torch.channels_last)
        super().__init__(
            datamanager,
            inner,
            optimizer,
            scheduler=scheduler,
            use_gpu=use_gpu,
            eval_options=eval_options(self.settings),
            metadata=metadata(inner.name, inner, datamanager)
            | {"config": _described(self.settings, inner, datamanager).dump()},
            **run_options(self.settings),
        )

    def run(self, save_dir: str = "log", **kwargs) -> None:  # type: ignore[override]  # as torchreid's callers know it
        """torchreid's `run`; leaves results.json as well."""
        self.settings.test.rerank = kwargs.get("rerank", False)
        self.eval_options = eval_options(self.settings)
        if not kwargs.get("test_only"):
            self.criterion = build_criterion(self.settings, self.model).to(self.device)
        with log_to(sys.stdout):
            super().run(save_dir, **kwargs)
            write_results(self, Path(save_dir) / "results.json", {"checkpoint": self.checkpoint_path, "config": ""})


def _described(settings: CfgNode, model: DualResNet, datamanager: CrossModalDataManager) -> CfgNode:
    """The settings with what the caller chose, as far as it can be told: what testing and using the model takes."""
    cfg = settings.clone()
    cfg.model.name, cfg.model.last_stride = model.name, model.last_stride
    cfg.data.root, cfg.data.sources, cfg.data.targets = (
        getattr(datamanager, "root", ""),
        datamanager.sources,
        datamanager.targets,
    )
    cfg.data.height, cfg.data.width = datamanager.height, datamanager.width
    cfg.data.norm_mean = datamanager.transforms.mean.flatten().tolist()
    cfg.data.norm_std = datamanager.transforms.std.flatten().tolist()
    return cfg


def _answer(original: type, choose: Callable[[dict[str, Any]], type | None]) -> None:
    """Makes `original(...)` an instance of the subclass that `choose` names for the call's arguments; None: of the original."""
    if "__new__" in vars(original):
        return
    signature = inspect.signature(original)

    @wraps(vars(original)["__init__"])  # whoever asks for the signature gets the right one
    def __new__(cls, *args, **kwargs):
        # A subclass is its author's business; a call with wrong arguments fails in __init__, in Python's words.
        try:
            arguments = signature.bind(*args, **kwargs).arguments if cls is original else {}
        except TypeError:
            arguments = {}
        return object.__new__(choose(arguments) or cls if arguments else cls)

    original.__new__ = __new__  # type: ignore[method-assign,assignment]


def _choose_data_manager(arguments: dict[str, Any]) -> type | None:
    # A batch of one trains nothing: the caller, such as torchreid's visualize_actmap.py, wants the test images as torchreid makes them.
    if arguments.get("batch_size_train") == 1:
        return None
    return PatchedDataManager if any(is_cross_modal(name) for name in _sources(arguments)) else None


def _choose_video(arguments: dict[str, Any]) -> None:
    for name in _sources(arguments):
        if is_cross_modal(name):
            raise ValueError(f"data.type is video: {name} holds images, set data.type image")


def _sources(arguments: dict[str, Any]) -> list[str]:
    sources = arguments.get("sources") or []
    return [sources] if isinstance(sources, str) else list(sources)


def _choose_triplet(arguments: dict[str, Any]) -> type | None:
    if not _is_cross_modal_call(arguments):
        return None
    model = bare_model(arguments["model"])
    if model.loss != "mso":
        raise ValueError(f"loss.name is {model.loss}: {model.name} is trained with loss.name mso")
    return PatchedEngine


def _choose_softmax(arguments: dict[str, Any]) -> None:
    if _is_cross_modal_call(arguments):
        raise ValueError(f"loss.name is softmax: {bare_model(arguments['model']).name} is trained with loss.name mso")


def _is_cross_modal_call(arguments: dict[str, Any]) -> bool:
    """Whether data and model both have two modalities.

    Raises:
        ValueError: only one of them has.
    """
    datamanager, model = arguments["datamanager"], bare_model(arguments["model"])
    two_modalities, two_streams = isinstance(datamanager, CrossModalDataManager), isinstance(model, DualResNet)
    if two_streams and not two_modalities:
        raise ValueError(
            f"{model.name} wants RGB and IR images, {', '.join(datamanager.sources)} has images of one modality: "
            "choose a cross-modal source such as sysu_mm01, or one of torchreid's models"
        )
    if two_modalities and not two_streams:
        raise ValueError(
            f"{type(model).__name__} takes images of one modality, {', '.join(datamanager.sources)} has two: choose dual_resnet50, "
            "or train torchreid's models on both with `torchreid-rgbir compare`"
        )
    return two_streams


def _replace(package: str, module: str, name: str, wrap: Callable[[Callable], Callable]) -> None:
    found = getattr(host, package)
    wrapped = wrap(getattr(found, name))
    setattr(found, name, wrapped)
    setattr(getattr(found, module), name, wrapped)


def _with_warmup(original: Callable) -> Callable:
    @wraps(original)
    def build(optimizer, lr_scheduler="single_step", stepsize=1, gamma=0.1, max_epoch=1):
        if lr_scheduler in WARMUPS:
            return build_lr_scheduler(optimizer, lr_scheduler, stepsize, gamma, max_epoch, _settings.train.warmup_epoch)
        return original(optimizer, lr_scheduler, stepsize, gamma, max_epoch)

    return build


def _past_data_parallel(original: Callable) -> Callable:
    @wraps(original)
    def resume(fpath, model, optimizer=None, scheduler=None):
        # The engine trains, and saves, the bare model.
        inner = model.module if isinstance(getattr(model, "module", None), DualResNet) else model
        return original(fpath, inner, optimizer, scheduler)

    return resume
