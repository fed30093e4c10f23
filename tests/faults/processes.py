"""Runs commands in separate processes that start with everything imported, so that a hundred of them take little time."""

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
    """Returns a context that forks processes from one that has imported this module and done nothing else."""
    # Some Python versions do not pass sys.path on to that process.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def start(words, output, phases: Connection | None = None):
    """Starts `torchreid-rgbir WORDS...` with the tiny network.

    Args:
        words: The words of the command line.
        output: The file that the output is appended to.
        phases: Receives ("in the step", time) and so on when a phase starts, and ("between", time) when it ends.
    """
    process = context().Process(target=_run, args=([str(word) for word in words], str(output), phases))
    process.start()
    return process


def finish(process, seconds=30):
    """Returns the exit status, which is negative for a signal. Kills a process that takes longer and returns None."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def _run(words, output, phases):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore SIGINT
    torch.set_num_threads(1)  # more threads do not help a hundred short processes
    MODELS["dual_resnet18"] = tiny.tiny_resnet
    if phases is not None:
        for method, phase in PHASES.items():
            setattr(CrossModalEngine, method, _reporting(getattr(CrossModalEngine, method), phase, phases))
    with open(output, "a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        status = main(words)
    os._exit(status) if status else None


def _reporting(method, phase, phases):
    def reported(*args, **kwargs):
        phases.send((phase, time.monotonic()))
        try:
            return method(*args, **kwargs)
        finally:
            phases.send(("between", time.monotonic()))

    return reported
