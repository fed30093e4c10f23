"""Commands run in processes of their own that begin with everything imported, so that a hundred of them cost little."""

import multiprocessing
import os
import signal
import time
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from tests import tiny
from torchreid_rgbir.cli import main
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.models import MODELS

PHASES = {"forward_backward": "in the step", "save_model": "while saving", "test": "while testing"}


def context():
    """Processes are forked from one that has imported this module and done nothing else."""
    # Some Python versions do not hand their path on to that process.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def start(words, output, phases: Connection | None = None):
    """Starts `torchreid-rgbir WORDS...` with the tiny network.

    Args:
        words: of the command line.
        output: file that what is printed is appended to.
        phases: is sent ("in the step", time) and so on when one begins, and ("between", time) when it ends.
    """
    process = context().Process(target=_run, args=([str(word) for word in words], str(output), phases))
    process.start()
    return process


def finish(process, seconds=30):
    """Its exit status, negative for a signal; None, and its end, if it takes longer."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def _run(words, output, phases):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, pytest perhaps, ignore it
    torch.set_num_threads(1)  # a hundred short processes gain nothing from more
    MODELS["dual_resnet18"] = tiny.tiny_resnet
    if phases is not None:
        for method, phase in PHASES.items():
            setattr(CrossModalEngine, method, _telling(getattr(CrossModalEngine, method), phase, phases))
    with open(output, "a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        status = main(words)
    os._exit(status) if status else None


def _telling(method, phase, phases):
    def told(*args, **kwargs):
        phases.send((phase, time.monotonic()))
        try:
            return method(*args, **kwargs)
        finally:
            phases.send(("between", time.monotonic()))

    return told
