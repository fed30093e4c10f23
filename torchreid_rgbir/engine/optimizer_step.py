"""From the loss to new weights: mixed precision, gradient accumulation, averaged weights. Nothing in it waits for the device."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from torchreid_rgbir.engine.guard import NonFiniteGuard

logger = logging.getLogger(__name__)

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision(amp: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast computes in, None for full precision; warns where the device lacks the one that was asked for.

    Args:
        amp: a name in `DTYPES`.
        device: of the model.

    Raises:
        ValueError: an unknown name.
    """
    if amp not in DTYPES:
        raise ValueError(f"train.amp is {amp!r}: choose from {', '.join(DTYPES)}")
    if amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        logger.warning("train.amp bf16: %s has no bfloat16, fp16 is used instead", torch.cuda.get_device_name(device))
        return torch.float16
    if amp == "fp16" and device.type == "cpu":
        logger.warning("train.amp fp16: a CPU has no fast float16, bf16 is used instead")
        return torch.bfloat16
    return DTYPES[amp]


def compile_works(device: torch.device) -> bool:
    """Tries torch.compile on a single operation; warns where it fails, for want of a compiler or a new enough GPU."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler raises
        reason = str(error).strip().splitlines()
        logger.warning(
            "train.compile: torch.compile does not work here (%s), the model runs uncompiled",
            reason[0] if reason else error,
        )
        return False
    return True


class EMA:
    """A model of averaged weights and statistics. torch's AveragedModel is the same, but makes each update wait for the device.

    Args:
        model: copied.
        decay: the share of the old average in the new one, over 0 and below 1.

    Attributes:
        module: the copy, in evaluation mode.
        num_averaged: updates so far; the first takes the weights as they are.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module = deepcopy(model).eval()
        self.num_averaged = 0
        self._average = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the model's weights as they are now."""
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        averaged = [pair for pair in pairs if self.num_averaged and pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not (self.num_averaged and pair[0].is_floating_point())]
        if averaged:
            old, new = zip(*averaged, strict=True)
            self._average(old, new, self.num_averaged)
        if copied:  # besides the first time, counts of batches
            old, new = zip(*copied, strict=True)
            torch._foreach_copy_(old, new)
        self.num_averaged += 1


def _tensors(model: nn.Module) -> Iterable[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


class Update:
    """Takes a batch's losses and, every `accumulate` batches, the optimizer's step.

    Args:
        model: whose weights are trained.
        guard: takes the optimizer's steps.
        device: of the model.
        amp: "bf16", "fp16" (with a gradient scaler) or "off"; see `precision`.
        accumulate: whole batches whose gradients are averaged for a step.
        ema: decay of the averaged weights, which are then the ones that are tested and saved; 0 for none.
    """

    def __init__(
        self,
        model: nn.Module,
        guard: NonFiniteGuard,
        device: torch.device,
        amp: str = "off",
        accumulate: int = 1,
        ema: float = 0.0,
    ):
        self.model = model
        self.guard = guard
        self.device = device
        self.dtype = precision(amp, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.accumulate = accumulate
        self.ema = EMA(model, ema) if ema else None

    @property
    def tested(self) -> Any:
        """The model to test and to save: the averaged one if there is one."""
        return self.model if self.ema is None else self.ema.module

    def autocast(self) -> torch.autocast:
        """The context of the model's forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def is_due(self, batch: int, num_batches: int) -> bool:
        """Whether the weights change after this batch, counted from 0 in an epoch of `num_batches`; the last one never waits."""
        return (batch + 1) % self.accumulate == 0 or batch + 1 == num_batches

    def __call__(self, losses: dict[str, Tensor], batch: int, num_batches: int, impaths: Sequence[str]) -> Tensor:
        """The backward pass of a batch, and the optimizer's step where it is due.

        Args:
            losses: scalars; "loss" is their weighted sum.
            batch, num_batches: as of `is_due`.
            impaths: the batch's images.

        Returns:
            Whether everything is finite, a scalar on the device.
        """
        first, due = batch - batch % self.accumulate, self.is_due(batch, num_batches)
        optimizer = self.guard.optimizer
        self.scaler.scale(losses["loss"] / min(self.accumulate, num_batches - first)).backward()
        if due:
            self.scaler.unscale_(optimizer)
        scale = self.scaler.scale(torch.ones((), device=losses["loss"].device)) if self.scaler.is_enabled() else None
        finite = self.guard.step(losses, batch, impaths, due, scale)
        if due:
            self.scaler.update()
            optimizer.zero_grad()
            if self.ema is not None:
                self.ema.update(self.model)
        return finite

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the tested model's weights and the optimizer."""
        if self.ema is None:
            return {"scaler": self.scaler.state_dict()}
        return {
            "scaler": self.scaler.state_dict(),
            "num_averaged": self.ema.num_averaged,
            "trained": self.model.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; the model holds the checkpoint's weights, the tested ones, already."""
        if state.get("scaler") and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(self.model.state_dict())
            self.ema.num_averaged = state.get("num_averaged", 0)
        if "trained" in state:
            self.model.load_state_dict(state["trained"])
