"""Losses in full precision: distances and squares lose their digits in the half-precision types of autocast."""

import functools
from collections.abc import Callable
from typing import ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")


def full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorates a function of tensors: autocast is off inside, and float16 and bfloat16 arguments become float32.

    The first argument is a tensor, and its device decides. float64 stays float64.
    """

    @functools.wraps(loss)
    def in_full_precision(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next(value.device for value in args if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return in_full_precision


def _widen(value: object) -> object:
    return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value


@full_precision
def unit_length(features: Tensor) -> Tensor:
    """features: (B, D).  Returns them L2-normalized, in full precision; a zero vector stays zero."""
    return F.normalize(features)
