"""Learning rates: schedules with a linear warm-up, which torchreid does not have, and rates that fall with depth."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from torchreid_rgbir import host
from torchreid_rgbir.models import TwoStreamNetwork

WARMUPS = ("warmup_multi_step", "warmup_cosine")
WARMUP_START = 0.1


def warmup(epoch: int, warmup_epoch: int, start: float = WARMUP_START) -> float:
    """The factor rises linearly from `start` in the first epoch to 1 in the last warm-up epoch.  epoch: from 1."""
    if epoch >= warmup_epoch:
        return 1.0
    return start + (1 - start) * (epoch - 1) / (warmup_epoch - 1)


def warmup_multi_step(
    epoch: int, warmup_epoch: int, stepsize: Sequence[int], gamma: float, start: float = WARMUP_START
) -> float:
    """The patent's schedule: warm-up, then one more factor of `gamma` after each epoch in `stepsize`.

    Args:
        epoch: from 1. Epoch `stepsize[0]` is the last one with the full learning rate.
        start: the factor in the first epoch.

    Returns:
        The factor of the base learning rate.

    Examples:
        >>> [round(warmup_multi_step(epoch, 10, [20, 25], 0.1), 3) for epoch in (1, 10, 20, 21, 26)]
        [0.1, 1.0, 1.0, 0.1, 0.01]
    """
    return warmup(epoch, warmup_epoch, start) * gamma ** sum(epoch > step for step in stepsize)


def warmup_cosine(epoch: int, warmup_epoch: int, max_epoch: int, start: float = WARMUP_START) -> float:
    """Warm-up, then half a cosine period, which would reach 0 one epoch after the last.  epoch: from 1."""
    if epoch <= warmup_epoch:
        return warmup(epoch, warmup_epoch, start)
    done = (epoch - warmup_epoch) / (max_epoch + 1 - warmup_epoch)
    return (1 + math.cos(math.pi * done)) / 2


def build_lr_scheduler(
    optimizer: Optimizer,
    lr_scheduler: str = "warmup_multi_step",
    stepsize: int | Sequence[int] = (20, 25, 30),
    gamma: float = 0.1,
    max_epoch: int = 200,
    warmup_epoch: int = 10,
    warmup_start: float = WARMUP_START,
) -> LRScheduler:
    """torchreid's `build_lr_scheduler`, which also knows the two schedules above. Step it once per epoch.

    Raises:
        ValueError: the schedule is unknown.
    """
    if lr_scheduler == "warmup_multi_step":
        steps = [stepsize] if isinstance(stepsize, int) else list(stepsize)
        return LambdaLR(optimizer, lambda done: warmup_multi_step(done + 1, warmup_epoch, steps, gamma, warmup_start))
    if lr_scheduler == "warmup_cosine":
        return LambdaLR(optimizer, lambda done: warmup_cosine(done + 1, warmup_epoch, max_epoch, warmup_start))
    stepsize = list(stepsize) if not isinstance(stepsize, int) else stepsize
    return host.optim.build_lr_scheduler(optimizer, lr_scheduler, stepsize, gamma, max_epoch)


def decay_by_depth(optimizer: Optimizer, model: TwoStreamNetwork, decay: float) -> None:
    """Divides an optimizer's only group of parameters by depth, in place. Only the head keeps the full learning rate.

    Layers near the image, whose pretrained weights are the most general, then learn more slowly. As in BEiT (Bao et al., ICLR
    2022), the rate of a layer is `decay` times the rate of the next layer.

    Args:
        optimizer: of the model's parameters, before its first step.
        model: its method `depths` returns the depth of each parameter.
        decay: above 0 and below 1.
    """
    depths = model.depths()
    (group,) = optimizer.param_groups
    head = max(depths.values())
    optimizer.param_groups = [
        group
        | {
            "params": [parameter for name, parameter in model.named_parameters() if depths[name] == depth],
            "lr": group["lr"] * decay ** (head - depth),
        }
        for depth in sorted(set(depths.values()))
    ]
