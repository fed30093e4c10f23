"""The cross-modal engine: torchreid's softmax + triplet engine with the patent's losses, tested by a data set's protocol."""

import datetime
import logging
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchreid_rgbir import distributed
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine import monitor
from torchreid_rgbir.engine.device import compile_works
from torchreid_rgbir.engine.evaluation import EvaluatingEngine
from torchreid_rgbir.engine.step import TrainingStep, prepare
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.models.loading import bare_model
from torchreid_rgbir.terminal import progress

logger = logging.getLogger(__name__)


class CrossModalEngine(EvaluatingEngine):
    """Trains a dual-stream model on batches of two modalities.

    `forward_backward` is one step (see `TrainingStep`), `train` is an epoch, and `run` is a complete training.

    Args:
        datamanager, model, optimizer, scheduler, use_gpu: torchreid's. The model is on the device already.
        criterion: the sum of the losses. None for an engine that only tests.
        amp, accumulate, ema: of TrainingStep.
        compiled: True runs the backbone through torch.compile, and "step" the training step, where that works.
        **options: of EvaluatingEngine, such as `eval_options`.
    """

    def __init__(
        self,
        datamanager: CrossModalDataManager,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: MSOLoss | None = None,
        scheduler: LRScheduler | None = None,
        use_gpu: bool = True,
        amp: str = "off",
        accumulate: int = 1,
        ema: float = 0.0,
        compiled: bool | str = False,
        **options: Any,
    ):
        model = bare_model(model)
        super().__init__(datamanager, model, optimizer, scheduler, use_gpu, **options)
        self.step = TrainingStep(model, criterion, self.guard, self.device, amp, accumulate, ema)
        if compiled and compile_works(self.device):
            if compiled == "step":
                self.step.compile()
            else:
                for network in {self.model, self.eval_model}:
                    network.compile_backbone()
        self.trainable: list[bool] = []  # which of the model's parameters require gradients

    @property
    def criterion(self) -> Any:
        """The sum of the losses. torchreid's engines have it under this name."""
        return self.step.criterion

    @criterion.setter
    def criterion(self, criterion: Any) -> None:
        self.step.criterion = criterion

    @property
    def eval_model(self) -> Any:
        """The model that is tested and saved: the one with averaged weights, if there is one."""
        return self.step.eval_model

    @property
    def stateful(self) -> dict[str, Any]:
        """The step's state in a checkpoint is named `update`."""
        return super().stateful | {"update": self.step}

    def train(
        self, print_freq: int = 10, fixbase_epoch: int = 0, open_layers: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Trains one epoch, or the rest of it. Losses stay on the device and are read back every `print_freq` batches.

        Returns:
            The means of the losses.

        Raises:
            ValueError: a loss or a gradient is not finite.
        """
        self.set_model_mode("train")
        self.two_stepped_transfer_learning(self.epoch, fixbase_epoch, open_layers)
        trainable = [parameter.requires_grad for parameter in self.model.parameters()]
        if trainable != self.trainable:  # torchreid opens more layers after some epochs
            self.trainable, self.step.ddp_model = trainable, distributed.parallel(self.model)
        first = self.batches_done
        self.datamanager.sampler.set_epoch(self.epoch, first)
        self.num_batches = len(self.train_loader)  # it varies with some samplers
        title, is_first_rank = f"epoch {self.epoch + 1}/{self.max_epoch}", distributed.rank() == 0
        bar = progress(self.train_loader, title, self.num_batches, unit="batch", done=first, shown=is_first_rank)
        start = time.monotonic()
        for self.batch_idx, data in enumerate(bar, first):  # torchreid's attribute
            losses, finite = self.forward_backward(data)
            self.means.add(losses, finite)
            self.batches_done = done = self.batch_idx + 1
            is_read = done % print_freq == 0 or done == self.num_batches
            if is_read:
                text = self._report()
                bar.set_postfix_str(text, refresh=False)
                if bar.disable or done == self.num_batches:
                    self._log(text, (time.monotonic() - start) / (done - first))
            # A signal is answered between two steps of the optimizer: a checkpoint holds no accumulated gradients.
            if self.step.is_due(self.batch_idx, self.num_batches):
                self.stop.check_all_ranks(is_read)
        means = self.means.read()
        monitor.warn_of_collapse(means, self.epoch)
        if self.is_target(means):
            reached = means["loss"], self.epoch + 1, self.target_loss
            logger.info("the mean loss %.4f of epoch %d is not above the target %g", *reached)
        return means

    def forward_backward(self, data: dict) -> tuple[dict[str, Tensor], Tensor]:
        """One training step on a batch of the train loader: augments it on the device and returns what `step` returns."""
        batch, inputs = prepare(self.datamanager, data, self.device, self.epoch, self.batch_idx)
        return self.step(inputs, batch, self.batch_idx, self.num_batches, data["impath"])

    def _report(self) -> str:
        """Reads the losses, writes them to TensorBoard, and returns them as text."""
        self.guard.check(self.epoch)
        losses = self.means.read()
        if self.writer is not None:
            step = self.epoch * self.steps_per_epoch + self.batch_idx * self.steps_per_epoch // self.num_batches
            for name, value in losses.items():
                self.writer.add_scalar(f"Train/{name}", value, step)
            self.writer.add_scalar("Train/lr", self.get_current_lr(), step)
        return " ".join(f"{name} {value:.4f}" for name, value in losses.items() if name not in monitor.MEASURES)

    def _log(self, text: str, seconds: float) -> None:
        num_left = self.num_batches - self.batches_done + (self.max_epoch - self.epoch - 1) * self.num_batches
        place = f"epoch {self.epoch + 1}/{self.max_epoch} batch {self.batches_done}/{self.num_batches}"
        eta = datetime.timedelta(seconds=round(seconds * num_left))
        logger.info("%s  %s  lr %.3g  %.3g s/batch  eta %s", place, text, self.get_current_lr(), seconds, eta)
