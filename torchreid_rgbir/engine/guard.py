"""Keeps batches whose loss or gradient is not finite out of the weights."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from torchreid_rgbir import distributed

logger = logging.getLogger(__name__)

NUM_NAMED = 4  # images in an error's line; the log has them all


class NonFiniteError(ValueError):
    """More batches than allowed gave a loss or a gradient that is not finite."""


class NonFiniteGuard:
    """Takes the optimizer's steps, but not those of batches that are not finite; nothing waits for the device if the optimizer is fused.

    Once more of them came than `allowed`, no step is taken any more, so the weights stay what they were until `check` raises.

    Args:
        model: its running statistics keep out such batches too, if any are allowed.
        optimizer: whose steps to take; made a fused one where torch has that.
        allowed: batches that may be left out in a run.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, allowed: int = 0):
        self.optimizer = optimizer
        self.allowed = allowed
        self._statistics = list(model.buffers()) if allowed else []
        self._good = [buffer.clone() for buffer in self._statistics]
        self.skipped = 0  # batches, up to the last check
        self._seen: list[tuple[int, Sequence[str], list[str], Tensor]] = []  # batches since then
        self._num_bad: Tensor | int = 0  # on the device, all batches
        self._spoilt: Tensor | None = None  # whether the gradients that add up are not finite
        if isinstance(optimizer, Adam) or (isinstance(optimizer, SGD) and not optimizer.defaults["dampening"]):
            _fuse(optimizer)

    def step(
        self,
        losses: dict[str, Tensor],
        batch: int,
        impaths: Sequence[str],
        due: bool = True,
        scale: Tensor | None = None,
    ) -> Tensor:
        """The optimizer's step, if everything is finite in every process.

        Args:
            losses: scalars of the batch, after `backward`.
            batch: its number in the epoch, from 0.
            impaths: its images.
            due: False where gradients only add up, and the step comes with a later batch.
            scale: what a gradient scaler multiplied the loss by, a scalar on the device. While it is over 1, a gradient that is
                not finite is the scaler's to answer, by a lower scale, and does not count.

        Returns:
            Whether the batch is finite, a scalar on the device.
        """
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        values = torch.stack([*losses.values(), torch.nn.utils.get_total_norm(gradients)]).detach()
        finite = distributed.all_ranks(values.isfinite().all())
        # Whose the gradient is not: a batch before has spoilt it, or the scale has.
        for other in (self._spoilt, None if scale is None else scale > 1):
            if other is not None:
                values = torch.cat([values[:-1], values[-1:].masked_fill(other, 0)])
        self._spoilt = None if due else ~finite
        self._seen.append((batch, impaths, [*losses, "the gradient"], values))
        self._num_bad = self._num_bad + (~distributed.all_ranks(values.isfinite().all())).int()
        stop = ~finite | (self._num_bad > self.allowed)
        if not due:
            pass
        elif self.optimizer.param_groups[0].get("fused"):
            self.optimizer.found_inf = stop.float()  # type: ignore[attr-defined]  # as GradScaler tells it
            self.optimizer.step()
        elif not stop:
            self.optimizer.step()
        for buffer, good in zip(self._statistics, self._good, strict=True):
            good.copy_(torch.where(finite, buffer, good))
            buffer.copy_(good)
        return finite

    def check(self, epoch: int) -> None:
        """Reads back what came since the last call, and says what was left out.

        Args:
            epoch: from 0.

        Raises:
            NonFiniteError: more batches than allowed; names the first part of the loss that is not finite, the batch and its images.
        """
        rows = torch.stack([values for *_, values in self._seen]).tolist() if self._seen else []
        seen, self._seen = self._seen, []
        for (batch, impaths, names, _), row in zip(seen, rows, strict=True):
            bad = [(name, value) for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
            if not bad:
                continue
            # The sum comes first and is never finite where a part is not.
            name, value = bad[1] if bad[0][0] == "loss" and bad[1:] and bad[1][0] != "the gradient" else bad[0]
            self.skipped += 1
            text = f"{name} is {value} in epoch {epoch + 1}, batch {batch + 1}"
            logger.warning("%s, of the images\n  %s", text, "\n  ".join(impaths))
            if self.skipped > self.allowed:
                more = f" and {len(impaths) - NUM_NAMED} more, see the log" if len(impaths) > NUM_NAMED else ""
                raise NonFiniteError(
                    f"{text} (images {', '.join(impaths[:NUM_NAMED])}{more}), which changed no weight: lower train.lr, "
                    "or set train.on_nonfinite skip to leave such batches out"
                )
            logger.warning("  left out, number %d of at most %d", self.skipped, self.allowed)

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._num_bad = self.skipped = state["skipped"]
        self._good = [buffer.clone() for buffer in self._statistics]


def _fuse(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        group["fused"] = True
        if group.get("momentum"):
            # SGD makes these in its first step, but leaves them unset if that one is not to be taken.
            for parameter in group["params"]:
                if optimizer.state[parameter].get("momentum_buffer") is None:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
