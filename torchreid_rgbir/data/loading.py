"""Loaders whose run can be stopped and repeated, and what is said when one of their workers dies."""

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


class Loader(DataLoader):
    """A DataLoader that leaves signals to the main process, and the global random state alone.

    Args:
        dataset, **options: torch's.
        ahead: without workers, load the next batch in a thread, while this one is used.
    """

    def __init__(self, dataset: Dataset, ahead: bool = False, **options: Any):
        generator = torch.Generator().manual_seed(0)
        super().__init__(dataset, worker_init_fn=_ignore_signals, generator=generator, **options)
        self.ahead = ahead
        atexit.unregister(kill_workers)
        atexit.register(kill_workers)

    def __iter__(self) -> Any:
        with deferred_signal(signal.SIGINT):  # workers are forked here
            batches = super().__iter__()
        return _ahead(batches) if self.ahead else batches


def _ahead(batches: Iterator) -> Iterator:
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def begin() -> None:
        if device is not None:  # else a thread pins memory by way of the first GPU, whichever its process uses
            torch.cuda.set_device(device)

    with ThreadPoolExecutor(1, initializer=begin) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


@contextmanager
def deferred_signal(number: signal.Signals) -> Iterator[None]:
    """A signal that comes meanwhile strikes afterwards: Python drops an exception that is raised while it forks."""
    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
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
    """A signal to the whole process group, such as Ctrl-C, is the main process's to answer."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def kill_workers() -> None:
    """Ends the workers that an error left behind: at exit multiprocessing asks them by SIGTERM, which they ignore, and waits for ever."""
    children = [child for child in multiprocessing.active_children() if child.daemon]
    if children:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler calls a worker that is killed an error
    for child in children:
        child.kill()


@contextmanager
def worker_errors() -> Iterator[None]:
    """Says in one line what the death of a worker means.

    Raises:
        OSError: a worker was killed, or there was too little shared memory.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "DataLoader worker" not in text and "shared memory" not in text:
            raise
        if "Bus error" in text or "shared memory" in text or "shm" in text:
            advice = (
                "there is too little shared memory: lower data.workers, or enlarge /dev/shm (docker run --shm-size)"
            )
        else:
            advice = "perhaps memory ran out: lower data.workers or train.batch_size"
        reason = text.strip().splitlines()[-1]
        raise OSError(
            f"a process that loads images died ({reason}): {advice}; model.resume auto goes on from the last checkpoint"
        ) from error
