"""Keeps batches with a loss or gradient that is not finite out of the weights."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from torchreid_rgbir import distributed

logger = logging.getLogger(__name__)

NUM_NAMED = 4  # images in an error message; the log lists all of them


class NonFiniteError(ValueError):
    """More batches than allowed had a loss or a gradient that is not finite."""


class NonFiniteGuard:
    """Takes the optimizer's steps, except for batches that are not finite. With a fused optimizer nothing waits for the device.

    After more bad batches than `allowed` no step is taken any more, and `check` raises.

    Args:
        model: its running statistics are restored after a bad batch, if any are allowed.
        optimizer: it is made a fused one where torch has that.
        allowed: the number of bad batches that a run may skip.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, allowed: int = 0):
        self.optimizer = optimizer
        self.allowed = allowed
        self._statistics = _Statistics(model) if allowed else None
        self.skipped = 0  # batches, up to the last check
        self._recorded: list[tuple[int, Sequence[str], list[str], Tensor]] = []  # batches since the last check
        self._num_bad: Tensor | int = 0  # on the device, all batches
        self._accumulated_bad: Tensor | None = None  # whether the accumulated gradients are not finite
        self._stop: Tensor | None = None  # whether the next step must not be taken
        if isinstance(optimizer, Adam) or (isinstance(optimizer, SGD) and not optimizer.defaults["dampening"]):
            _fuse(optimizer)

    def record(
        self,
        losses: dict[str, Tensor],
        batch_idx: int,
        impaths: Sequence[str],
        is_due: bool = True,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Looks at the losses and gradients of a batch, after `backward`.

        Args:
            losses, batch_idx, impaths: of the batch: scalars, its number in the epoch, from 0, and its images.
            is_due: False when gradients are only accumulated and the optimizer's step follows a later batch.
            scale: the factor of a gradient scaler, a scalar on the device. While it is above 1, the scaler answers a
                gradient that is not finite by a lower scale, and the batch does not count as bad.

        Returns:
            Whether the batch is finite in every process, a scalar on the device.
        """
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        values = torch.stack([*losses.values(), torch.nn.utils.get_total_norm(gradients)]).detach()
        finite = distributed.all_ranks(values.isfinite().all())
        # The gradient is not this batch's fault if an earlier batch made it infinite, or the scale did.
        for other in (self._accumulated_bad, None if scale is None else scale > 1):
            if other is not None:
                values = torch.cat([values[:-1], values[-1:].masked_fill(other, 0)])
        self._accumulated_bad = None if is_due else ~finite
        self._recorded.append((batch_idx, impaths, [*losses, "the gradient"], values))
        self._num_bad = self._num_bad + (~distributed.all_ranks(values.isfinite().all())).int()
        self._stop = ~finite | (self._num_bad > self.allowed)
        if self._statistics is not None:
            self._statistics.keep(finite)
        return finite

    def step(self) -> None:
        """Takes the optimizer's step, unless the recorded batch was bad."""
        assert self._stop is not None
        if self.optimizer.param_groups[0].get("fused"):
            self.optimizer.found_inf = self._stop.float()  # type: ignore[attr-defined]  # as a GradScaler does
            self.optimizer.step()
        elif not self._stop:
            self.optimizer.step()

    def check(self, epoch: int) -> None:
        """Reads back the batches since the last call and reports the bad ones. Waits for the device.

        Args:
            epoch: from 0.

        Raises:
            NonFiniteError: there were more bad batches than allowed. The message names the first part of the loss that is
                not finite, the batch and its images.
        """
        rows = torch.stack([values for *_, values in self._recorded]).tolist() if self._recorded else []
        recorded, self._recorded = self._recorded, []
        for (batch_idx, impaths, names, _), row in zip(recorded, rows, strict=True):
            bad = [(name, value) for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
            if not bad:
                continue
            # The sum comes first and is never finite where a part is not.
            name, value = bad[1] if bad[0][0] == "loss" and bad[1:] and bad[1][0] != "the gradient" else bad[0]
            self.skipped += 1
            text = f"{name} is {value} in epoch {epoch + 1}, batch {batch_idx + 1}"
            logger.warning("%s, with the images\n  %s", text, "\n  ".join(impaths))
            if self.skipped > self.allowed:
                more = f" and {len(impaths) - NUM_NAMED} more, see the log" if len(impaths) > NUM_NAMED else ""
                raise NonFiniteError(
                    f"{text} (images {', '.join(impaths[:NUM_NAMED])}{more}). The weights were not updated. "
                    "Lower train.lr, or set train.on_nonfinite skip to skip such batches"
                )
            logger.warning("  the batch was skipped, number %d of at most %d", self.skipped, self.allowed)

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._num_bad = self.skipped = state["skipped"]
        if self._statistics is not None:
            self._statistics.save()


class _Statistics:
    """The running statistics of a model's last finite batch, with a constant number of kernels for any number of buffers."""

    def __init__(self, model: nn.Module):
        kinds = [[b for b in model.buffers() if b.is_floating_point() == floats] for floats in (True, False)]
        self.groups = [group for group in kinds if group]
        self.save()

    def save(self) -> None:
        """Takes the statistics as they are."""
        self.good = [_flat(group) for group in self.groups]

    def keep(self, finite: Tensor) -> None:
        """Saves the statistics of a finite batch, and puts the saved ones back after a bad one."""
        for group, good in zip(self.groups, self.good, strict=True):
            torch.where(finite, _flat(group), good, out=good)
            saved = good.split([buffer.numel() for buffer in group])
            torch._foreach_copy_(group, [part.view_as(buffer) for part, buffer in zip(saved, group, strict=True)])


def _flat(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([buffer.flatten() for buffer in buffers])


def _fuse(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["fused"] = True
        if group.get("momentum"):
            # SGD creates these in its first step, and leaves them unset if that step is not taken.
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
