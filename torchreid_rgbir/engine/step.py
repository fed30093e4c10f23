"""One training step of the method, on one page."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_rgbir import distributed
from torchreid_rgbir.data.augmentations import to_unit
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.engine.device import autocast_dtype, compile_step
from torchreid_rgbir.engine.ema import EMA
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.monitor import collapse_measures
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.models import Batch

logger = logging.getLogger(__name__)


def prepare(
    datamanager: CrossModalDataManager, data: dict, device: torch.device, epoch: int, batch_idx: int
) -> tuple[Batch, Tensor]:
    """Moves a batch of the train loader to the device and augments it.

    Args:
        datamanager: whose transforms and sampler to use.
        data: the batch, its RGB images first.
        device: of the model.
        epoch, batch_idx: from 0. The augmentation depends on them and on the seed alone.

    Returns:
        The batch that the losses see, and the model's input (B, 3, H, W), normalized.
    """
    images, pids = (data[name].to(device, non_blocking=True) for name in ("img", "pid"))
    sampler, transforms = datamanager.sampler, datamanager.transforms
    num_rgb = sampler.num_rgb(batch_idx)
    images = transforms.augment(images, num_rgb, epoch, batch_idx)
    if transforms.num_rgb_views == 2:
        pids, num_rgb = torch.cat([pids[:num_rgb], pids]), 2 * num_rgb
    batch = Batch(to_unit(images), pids, num_rgb, sampler.num_own_ids, sampler.is_balanced)
    return batch, transforms.normalize(images)


class TrainingStep:
    """Forward pass, losses, backward pass, guard, optimizer and weight averaging. Nothing in it waits for the device.

    Args:
        model: called as `model(inputs, num_rgb)`, returns `Outputs`.
        criterion: called as `criterion(outputs, batch)`, returns the losses. None for an engine that only tests.
        guard: takes the optimizer's steps.
        device: of the model.
        amp: "bf16", "fp16" (with a gradient scaler) or "off".
        accumulate: the number of batches whose gradients are averaged for one step of the optimizer.
        ema: the decay of averaged weights, which are then tested and saved. 0 disables them.

    Attributes:
        ddp_model: the model that is called. Over several processes it is wrapped in DistributedDataParallel.
        eval_model: the model that is tested and saved, with averaged weights if there are any.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Any,
        guard: NonFiniteGuard,
        device: torch.device,
        amp: str = "off",
        accumulate: int = 1,
        ema: float = 0.0,
    ):
        self.model = self.ddp_model = model
        # Not a part of the model: torchreid opens every layer of a model for training, and would save VGG with it.
        self.criterion = criterion.to(device) if isinstance(criterion, nn.Module) else criterion
        self.guard = guard
        self.device = device
        self.dtype = autocast_dtype(amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.accumulate = accumulate
        self.ema = EMA(model, ema) if ema else None

    def __call__(
        self, inputs: Tensor, batch: Batch, batch_idx: int, num_batches: int, impaths: Sequence[str]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Trains on one batch.

        Args:
            inputs: (B, 3, H, W), the batch's images, normalized.
            batch: what the losses see.
            batch_idx: its number in the epoch, from 0.
            num_batches: of the epoch.
            impaths: of the batch's images, for error messages.

        Returns:
            The weighted sum of the losses, each loss, the accuracy and the measures of collapse, as scalars on the device;
            and whether the losses and gradients are finite, a boolean scalar on the device.
        """
        is_due = self.is_due(batch_idx, num_batches)
        first = batch_idx - batch_idx % self.accumulate
        num_accumulated = min(self.accumulate, num_batches - first)

        with distributed.no_sync_if(self.ddp_model, not is_due):  # gradients are exchanged once per optimizer step
            losses, measures = self._forward(inputs, batch)
            self.scaler.scale(losses["loss"] / num_accumulated).backward()

        if is_due:
            distributed.average_gradients(self.trained_losses().values())
            self.scaler.unscale_(self.guard.optimizer)
        scale = self.scaler.scale(torch.ones((), device=self.device)) if self.scaler.is_enabled() else None
        finite = self.guard.record(losses, batch_idx, impaths, is_due, scale)
        if is_due:
            self.guard.step()  # the optimizer's step, unless something is not finite
            self.scaler.update()
            self.guard.optimizer.zero_grad()
            if self.ema is not None:
                self.ema.update(self.model)

        return {name: value.detach() for name, value in losses.items()} | measures, finite

    def _forward(self, inputs: Tensor, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the losses, and the accuracy and the measures of collapse, which have no gradient."""
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            outputs = self.ddp_model(inputs, batch.num_rgb)
            losses = self.criterion(outputs, batch)  # in single precision, except for VGG
        if "loss_id" not in losses:  # DistributedDataParallel waits for a gradient of the classifier, too
            losses["loss"] = losses["loss"] + 0 * outputs.logits.sum()
        accuracy = (outputs.logits.argmax(1) == batch.pids).float().mean()
        return losses, {"acc": accuracy, **collapse_measures(outputs.features.detach(), batch)}

    def compile(self) -> None:
        """Makes torch.compile compile the network and the losses as one function at the next step (`compile_step`).

        On a GPU they are captured in CUDA graphs, unless gradients of several batches are accumulated, which graphs overwrite.
        """
        has_graphs = self.device.type == "cuda"
        if has_graphs and self.accumulate > 1:
            logger.warning("train.compile step: with train.accumulate %d, no CUDA graphs are used", self.accumulate)
            has_graphs = False
        self._forward = compile_step(self._forward, has_graphs)  # type: ignore[method-assign]

    def is_due(self, batch_idx: int, num_batches: int) -> bool:
        """Whether the optimizer takes a step after this batch. The last batch of an epoch never waits."""
        return (batch_idx + 1) % self.accumulate == 0 or batch_idx + 1 == num_batches

    @property
    def eval_model(self) -> Any:
        return self.model if self.ema is None else self.ema.module

    def trained_losses(self) -> dict[str, nn.Module]:
        """The losses that have trainable parameters, such as a center loss, by name."""
        return self.criterion.trained() if isinstance(self.criterion, MSOLoss) else {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint contains besides the tested model's weights and the optimizer."""
        state: dict[str, Any] = {"scaler": self.scaler.state_dict()}
        if self.ema is not None:
            state |= {"num_averaged": self.ema.num_averaged, "trained": self.model.state_dict()}
        if losses := self.trained_losses():
            state["losses"] = {name: loss.state_dict() for name, loss in losses.items()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads what `state_dict` returned. The model already has the checkpoint's weights, those of the tested model."""
        if state.get("scaler") and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())
            self.ema.num_averaged = state.get("num_averaged", 0)
        if "trained" in state:
            self.model.load_state_dict(state["trained"])
        for name, loss in self.trained_losses().items():
            loss.load_state_dict(state["losses"][name])
