"""Several processes that train one model, started by torchrun; one process alone is the same with a rank of 0 in a world of 1."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
# While one process decodes every image, or scores; torchrun ends those whose peer has died.
TIMEOUT = timedelta(hours=6)


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def asked_for() -> bool:
    """Whether torchrun started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """Joins the processes that torchrun started; within, only the first one prints. Does nothing without torchrun.

    Raises:
        ValueError: more processes on this machine than it has GPUs.
    """
    if not asked_for() or dist.is_initialized():
        yield
        return
    device = None
    if torch.cuda.is_available():
        local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= here:
            raise ValueError(
                f"torchrun starts more processes than this machine has GPUs ({here}): lower --nproc_per_node to {here}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device else "gloo", timeout=TIMEOUT, device_id=device)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if rank() == 0 else nowhere):
        yield
    dist.barrier()  # the first process may still be writing what the others are about to read
    # Not after an error: the others may be waiting for this process, and torchrun ends them once it is gone.
    dist.destroy_process_group()


@contextlib.contextmanager
def first_on_this_machine() -> Iterator[None]:
    """The machine's first process goes through before the others do, who then find what it made."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if dist.is_initialized() and not first:
        dist.barrier()
    yield
    if dist.is_initialized() and first:
        dist.barrier()


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """What `make` returns in the first process, in every process; it is called there alone."""
    if world_size() == 1:
        return make()
    made = [make() if rank() == 0 else None]
    dist.broadcast_object_list(made)
    return made[0]  # type: ignore[return-value]


def rank_slice(num: int) -> range:
    """This process's part of `num` things in a row: parts are as alike as can be, and those of all processes are all, in order."""
    return range(rank() * num // world_size(), (rank() + 1) * num // world_size())


def all_ranks(condition: Tensor) -> Tensor:
    """Whether a condition, a boolean scalar, holds in every process; stays on the device."""
    return condition if world_size() == 1 else _summed((~condition).int()) == 0


def any_rank(condition: bool) -> bool:
    """Whether a condition holds in any process; waits for them all."""
    return condition if world_size() == 1 else bool(_summed(torch.tensor(int(condition))) > 0)


def gather_rows(parts: list[Tensor]) -> Tensor:
    """Puts together what the processes made of their `share` of the work.

    Args:
        parts: (n, D) each, this process's in order; empty where it had nothing to do.

    Returns:
        (N, D) on the CPU, the processes in order.
    """
    rows = torch.cat(parts).cpu() if parts else None
    gathered = [rows] * world_size()
    if world_size() > 1:
        dist.all_gather_object(gathered, rows)
    return torch.cat([part for part in gathered if part is not None])


def gather_batch(rows: Tensor) -> Tensor:
    """The whole batch from the processes' parts of it, with gradients to all of them.

    Args:
        rows: (b, ...), this process's, RGB half first.

    Returns:
        (B, ...), RGB half first, in each half the processes in order: the batch that one process alone would have.
    """
    if world_size() == 1:
        return rows
    parts = _Gather.apply(rows)  # (W, b, ...)
    return parts.unflatten(1, (2, -1)).transpose(0, 1).flatten(0, 2)


def total(values: Tensor) -> Tensor:
    """The sum of a tensor over the processes, with gradients to all of them."""
    return _Total.apply(values)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _summed(gradient)[rank()]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    summed = values.clone(memory_format=torch.contiguous_format).to(device)
    dist.all_reduce(summed)
    return summed


def mean(values: Tensor) -> Tensor:
    """The mean of a tensor over the processes, without gradient."""
    return values if world_size() == 1 else _summed(values) / world_size()


def parallel(model: nn.Module) -> nn.Module:
    """The model for the training step: gradients become the means over the processes, of the parameters that require one now."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(
        model, device_ids=[torch.cuda.current_device()] if torch.cuda.is_available() else None
    )


def share_buffers(model: nn.Module) -> None:
    """Gives every process the first one's buffers: batch normalization keeps the statistics of its own process's images."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def no_sync_if(model: nn.Module, stay: bool) -> contextlib.AbstractContextManager:
    """Within, gradients are summed up in each process and not exchanged, if `stay`; model: of `parallel`."""
    return model.no_sync() if stay and isinstance(model, DistributedDataParallel) else contextlib.nullcontext()
