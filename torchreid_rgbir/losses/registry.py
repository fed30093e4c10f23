"""Losses of one's own, by name, that `register_loss` adds to the method's sum."""

from collections.abc import Callable

from torch import Tensor

OwnLoss = Callable[[Tensor, Tensor, int], Tensor]
LOSSES: dict[str, OwnLoss] = {}
