"""What a loader's workers need so that a run can be stopped and repeated, and what is said when one of them dies."""

import atexit
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import DataLoader

from torchreid_rgbir.engine.stop import ignore_signals


def prepare(loader: DataLoader) -> None:
    """Lets the main process answer signals, and lets nothing that the loader draws shift what the training draws."""
    loader.worker_init_fn = ignore_signals
    loader.generator = torch.Generator().manual_seed(0)
    atexit.unregister(end_workers)
    atexit.register(end_workers)


def end_workers() -> None:
    """Ends the workers that an error left behind: at exit multiprocessing asks them by SIGTERM, which they ignore, and waits for ever."""
    for child in multiprocessing.active_children():
        if child.daemon:
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
