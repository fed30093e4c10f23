"""Single precision for losses: distances and squares lose their digits in autocast's half-precision types."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")


def full_precision(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorates a function of tensors: autocast is off inside, and half-precision arguments become float32.

    The device of the first tensor decides for which device autocast is off. float64 stays float64.
    """

    @functools.wraps(function)
    def in_full_precision(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next(value.device for value in args if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return function(*map(widen, args), **{name: widen(value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return in_full_precision


def widen(value: Any) -> Any:
    """A float16 or bfloat16 tensor as float32. Everything else is returned unchanged."""
    return value.float() if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16) else value


@full_precision
def unit_length(features: Tensor) -> Tensor:
    """features: (B, D).  Returns them with L2 norm 1, in full precision. A zero vector stays zero."""
    return F.normalize(features)
