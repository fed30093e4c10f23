"""Training with several processes that torchrun started. A single process has rank 0 and world size 1."""

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
# Long enough for one process to decode every image or to score. torchrun ends the processes whose peer has died.
TIMEOUT = timedelta(hours=6)


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def asked_for() -> bool:
    """Returns whether torchrun started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """Joins the processes that torchrun started.

    Only the first one prints within the context. Without torchrun it does nothing.

    Raises:
        ValueError: This machine has fewer GPUs than processes.
    """
    if not asked_for() or dist.is_initialized():
        yield
        return
    device = None
    if torch.cuda.is_available():
        local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= here:
            raise ValueError(
                f"torchrun started more processes than this machine has GPUs ({here}): lower --nproc_per_node to {here}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device else "gloo", timeout=TIMEOUT, device_id=device)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if rank() == 0 else nowhere):
        yield
    dist.barrier()  # the first process may still be writing files that the others read next
    # This is skipped after an error, when other processes may be waiting for this one. torchrun ends them.
    dist.destroy_process_group()


@contextlib.contextmanager
def first_on_this_machine() -> Iterator[None]:
    """Lets the first process of a machine run the block before the others, which then find the files that it made."""
    first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if dist.is_initialized() and not first:
        dist.barrier()
    yield
    if dist.is_initialized() and first:
        dist.barrier()


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """Calls `make` in the first process only and returns its result in every process."""
    if world_size() == 1:
        return make()
    made = [make() if rank() == 0 else None]
    dist.broadcast_object_list(made)
    return made[0]  # type: ignore[return-value]


def rank_slice(num: int) -> range:
    """The part of `range(num)` that this process works on. Parts differ by at most one in size and follow by rank."""
    return range(rank() * num // world_size(), (rank() + 1) * num // world_size())


def all_ranks(condition: Tensor) -> Tensor:
    """Returns whether a boolean scalar is true in every process, as a tensor on the same device."""
    return condition if world_size() == 1 else _summed((~condition).int()) == 0


def any_rank(condition: bool) -> bool:
    """Returns whether a condition is true in any process. Waits for all of them."""
    return condition if world_size() == 1 else bool(_summed(torch.tensor(int(condition))) > 0)


def gather_rows(parts: list[Tensor]) -> Tensor:
    """Concatenates the rows that the processes computed for their `rank_slice`: (N, D) on the CPU, ordered by rank.

    Args:
        parts: Tensors (n, D) of this process, in order. The list is empty if its slice was.
    """
    rows = torch.cat(parts).cpu() if parts else None
    gathered = [rows] * world_size()
    if world_size() > 1:
        dist.all_gather_object(gathered, rows)
    return torch.cat([part for part in gathered if part is not None])


def gather_batch(rows: Tensor, num_rgb: int) -> Tensor:
    """Gathers the complete batch from the parts of all processes. Gradients flow back to every process.

    Args:
        rows: (b, ...), the part of this process, the RGB images first.
        num_rgb: the number of RGB images in each part.

    Returns:
        (B, ...), the RGB images first and ordered by rank within each modality: the batch of a single process.
    """
    if world_size() == 1:
        return rows
    parts = _Gather.apply(rows)  # (W, b, ...)
    return torch.cat([parts[:, :num_rgb].flatten(0, 1), parts[:, num_rgb:].flatten(0, 1)])


def total(values: Tensor) -> Tensor:
    """Sums a tensor over the processes. Gradients flow back to every process."""
    return _Total.apply(values)


# torch.distributed.nn.functional has both of these, but is deprecated.
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
    """Averages a tensor over the processes, without gradients."""
    return values if world_size() == 1 else _summed(values) / world_size()


def parallel(model: nn.Module) -> nn.Module:
    """Wraps the model for training: gradients of the parameters that are trainable now are averaged over processes."""
    if world_size() == 1:
        return model
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else None
    return DistributedDataParallel(model, device_ids=devices)


def share_buffers(model: nn.Module) -> None:
    """Copies the buffers of the first process to all others: batch normalization has statistics of its own images."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def no_sync_if(model: nn.Module, stay: bool) -> contextlib.AbstractContextManager:
    """If `stay`, gradients accumulate in each process without being exchanged. `model` is what `parallel` returned."""
    return model.no_sync() if stay and isinstance(model, DistributedDataParallel) else contextlib.nullcontext()


def average_gradients(modules: Iterable[nn.Module]) -> None:
    """Replaces gradients by their means over the processes, for modules outside of the model of `parallel`."""
    for parameter in itertools.chain.from_iterable(module.parameters() for module in modules):
        if world_size() > 1 and parameter.grad is not None:
            parameter.grad.copy_(mean(parameter.grad))
