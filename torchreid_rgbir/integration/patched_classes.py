"""The classes that torchreid's `ImageDataManager` and `ImageTripletEngine` return for RGB-IR data after `install()`."""

import inspect
import sys
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from yacs.config import CfgNode

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.engine.metadata import describe, metadata
from torchreid_rgbir.integration import settings
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.models.loading import bare_model
from torchreid_rgbir.models.sync_batchnorm import synchronize
from torchreid_rgbir.runs.build import build_criterion
from torchreid_rgbir.runs.options import eval_options, run_options, step_options
from torchreid_rgbir.runs.train import write_results
from torchreid_rgbir.terminal import log_to

DATA_OPTIONS = tuple(inspect.signature(CrossModalDataManager).parameters)
RUN = inspect.signature(host.SoftmaxTripletEngine.run)

# The checkpoint that torchreid's `resume_from_checkpoint` read for a model, and the number of its epochs.
resumed: WeakKeyDictionary[nn.Module, tuple[str, int]] = WeakKeyDictionary()


class PatchedDataManager(CrossModalDataManager):
    """torchreid's `ImageDataManager(...)` for RGB-IR sources, with torchreid's arguments and their defaults.

    `sampler.name` chooses the sampler. torchreid's arguments that do have no effect. The seed is torch's.

    Raises:
        ValueError: `k_tfm` is above 1 or `load_train_targets` is set. Errors of CrossModalDataManager are raised too.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        bound = inspect.signature(host.data.ImageDataManager.__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments
        if arguments["k_tfm"] != 1 or arguments["load_train_targets"]:
            raise ValueError("data.k_tfm above 1 and data.load_train_targets are for data of one modality: remove them")
        self.root = arguments["root"]
        ours = {name: value for section in ("data", "sampler") for name, value in settings.current[section].items()}
        ours["sampler"] = ours.pop("name")
        options: dict[str, Any] = {
            name: arguments[name] if name in arguments else ours.get(name) for name in DATA_OPTIONS
        }
        options["transforms"] = options["transforms"] or []  # torchreid's functions accept None
        with log_to(sys.stdout):
            super().__init__(**options | {"seed": torch.initial_seed() % 2**32})
        settings.current.data.height, settings.current.data.width = (
            arguments["height"],
            arguments["width"],
        )  # for models


class PatchedEngine(CrossModalEngine):
    """torchreid's `ImageTripletEngine(...)` for RGB-IR data, with torchreid's arguments.

    `margin` is the margin of the triplet losses that have one, and `label_smooth` is for the identity loss.

    Raises:
        ValueError: `weight_t` or `weight_x` has a value that would have no effect.
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
        # 0 is the default of weight_x in torchreid's script, 1 the one of torchreid's engine.
        if weight_t != 1 or weight_x not in (0, 1):
            raise ValueError(
                f"loss.triplet.weight_t {weight_t:g} and weight_x {weight_x:g} have no effect on this method: keep 1 and "
                "1, and set the weights under loss.mso in the plugin's settings"
            )
        self.settings = settings.current.clone()
        self.settings.loss.softmax.label_smooth = label_smooth
        self.settings.loss.triplet.margin = margin
        inner = without_data_parallel(model).to(memory_format=torch.channels_last)
        self.to_resume = resumed.pop(inner, None)
        if self.settings.train.sync_batchnorm and distributed.world_size() > 1:
            inner = synchronize(inner, next(inner.parameters()).device)
        described = describe(self.settings, inner, datamanager, getattr(datamanager, "root", None))
        super().__init__(
            datamanager,
            inner,
            optimizer,
            scheduler=scheduler,
            use_gpu=use_gpu,
            eval_options=eval_options(self.settings),
            metadata=metadata(inner.name, inner, datamanager) | {"config": described.dump()},
            **run_options(self.settings),
            **step_options(self.settings),
        )

    def run(self, *args: Any, **kwargs: Any) -> None:
        """torchreid's `run`, with torchreid's arguments. It also writes results.json.

        After torchreid's `resume_from_checkpoint` it resumes everything that the checkpoint contains, not only model,
        optimizer and schedule.

        Raises:
            ValueError: `ranks` or `use_metric_cuhk03` has a value that would have no effect, or a loss has trained
                parameters.
        """
        given = RUN.bind(self, *args, **kwargs).arguments
        del given["self"]
        if tuple(given.get("ranks", (1, 5, 10, 20))) != (1, 5, 10, 20) or given.get("use_metric_cuhk03"):
            raise ValueError(
                "test.ranks and cuhk03.use_metric_cuhk03 have no effect on RGB-IR data, whose protocol reports Rank-1, 5, "
                "10 and 20: remove them"
            )
        self.settings.test.rerank = given.get("rerank", False)
        self.eval_options = eval_options(self.settings)
        if not given.get("test_only"):
            torch.backends.cudnn.benchmark = self.use_gpu  # as in torchreid's script
            self.criterion = _build_criterion(self.settings, self.model).to(self.device)
        with log_to(sys.stdout):
            if self.to_resume and not given.get("test_only") and given.get("start_epoch", 0) == self.to_resume[1]:
                self.resume(self.to_resume[0])
                self.to_resume = None
            save_dir = given.pop("save_dir", "log")
            super().run(save_dir, **given)
            if distributed.rank() == 0:
                origin = {"checkpoint": self.checkpoint_path, "config": ""}
                write_results(self, Path(save_dir) / "results.json", origin, self.settings.test.save_features)


def _build_criterion(cfg: CfgNode, model: TwoStreamNetwork) -> MSOLoss:
    criterion = build_criterion(cfg, model)
    # torchreid's code has made optimizer and schedule before the losses exist.
    for name, loss in criterion.named_children():
        if any(parameter.requires_grad for parameter in loss.parameters()):
            raise ValueError(
                f"{name} has trained parameters, which torchreid's optimizer does not have: use `torchreid-rgbir train`, "
                f"or set loss.mso.weight_{name.removeprefix('loss_')} 0"
            )
    return criterion


def without_data_parallel(model: Any) -> Any:
    """Returns the model inside DataParallel. Each process of torchrun uses one GPU, however many DataParallel would use."""
    return model.module if distributed.world_size() > 1 and isinstance(model, nn.DataParallel) else bare_model(model)
