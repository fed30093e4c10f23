"""Data loaders that leave signals to the main process, and a clear error when one of their worker processes dies."""

import atexit
import multiprocessing
import signal
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

_workers: weakref.WeakSet = weakref.WeakSet()  # processes that loaders of this module have started


class Loader(DataLoader):
    """A DataLoader whose workers ignore signals, and that consumes no global random numbers.

    Args:
        dataset, **options: as torch's.
        ahead: without workers, load the next batch in a thread while the current one is used.
    """

    def __init__(self, dataset: Dataset, ahead: bool = False, **options: Any):
        generator = torch.Generator().manual_seed(0)
        super().__init__(dataset, worker_init_fn=_ignore_signals, generator=generator, **options)
        self.ahead = ahead

    def __iter__(self) -> Any:
        with deferred_signal(signal.SIGINT):  # workers are forked here
            batches = super().__iter__()
        _workers.update(getattr(batches, "_workers", ()))
        return _ahead(batches) if self.ahead else batches


def _ahead(batches: Iterator) -> Iterator:
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def begin() -> None:
        if device is not None:  # otherwise a thread pins memory through the first GPU
            torch.cuda.set_device(device)

    with ThreadPoolExecutor(1, initializer=begin) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


@contextmanager
def deferred_signal(number: signal.Signals) -> Iterator[None]:
    """Delays a signal until the end of the block, since Python drops an exception that is raised while it forks."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield
        return
    came: list[int] = []
    before = signal.signal(number, lambda *_: came.append(number))
    try:
        yield
    finally:
        signal.signal(number, before)
        if came:
            signal.raise_signal(number)


def _ignore_signals(worker: int) -> None:
    # Ctrl-C reaches the complete process group; the main process alone decides what happens.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def kill_workers() -> None:
    """Kills the loaders' workers that an error left running. Other child processes of this program are not touched.

    At exit multiprocessing ends them by SIGTERM, which they ignore, and would wait for them forever.
    """
    left = [child for child in multiprocessing.active_children() if child in _workers]
    if left:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler reports a killed worker as an error
    for worker in left:
        worker.kill()


@contextmanager
def worker_errors() -> Iterator[None]:
    """Turns the death of a worker process into an error of one line that says what to do.

    Raises:
        OSError: a worker was killed, or there was too little shared memory.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "DataLoader worker" not in text and "shared memory" not in text:
            raise
        advice = "memory may have run out: lower data.workers or train.batch_size"
        if "Bus error" in text or "shared memory" in text or "shm" in text:
            advice = (
                "there is too little shared memory: lower data.workers, or enlarge /dev/shm (docker run --shm-size)"
            )
        reason = text.strip().splitlines()[-1]
        raise OSError(
            f"a process that loads images died ({reason}): {advice}. model.resume auto continues from the last checkpoint"
        ) from error
