"""Exponential moving average of a model's weights."""

import itertools
from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class EMA:
    """A copy of a model with averaged weights and statistics.

    torch's AveragedModel does the same, but its `update` makes a GPU wait at every step (torch 2.6 to 2.14).

    Args:
        model: the model to copy.
        decay: the share of the old average in the new one, above 0 and below 1.

    Attributes:
        module: the copy, in evaluation mode.
        num_averaged: the number of updates. The first one copies the weights.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module = deepcopy(model).eval()
        self.num_averaged = 0
        self._average = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Averages the model's present weights in."""
        averaged: list[tuple[Tensor, Tensor]] = []
        copied: list[tuple[Tensor, Tensor]] = []
        for pair in zip(_tensors(self.module), _tensors(model), strict=True):
            # Integers are the number of batches that batch normalization has seen.
            (averaged if self.num_averaged and pair[0].is_floating_point() else copied).append(pair)
        if averaged:
            self._average(*zip(*averaged, strict=True), self.num_averaged)
        if copied:
            torch._foreach_copy_(*zip(*copied, strict=True))  # type: ignore[arg-type]
        self.num_averaged += 1


def _tensors(model: nn.Module) -> Iterable[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())
