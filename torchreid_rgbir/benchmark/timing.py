"""Interleaved timing of several candidates, so that a busy machine slows all of them down alike."""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch

from torchreid_rgbir.terminal import progress

STATUS = Path("/proc/self/status")
Seconds = dict[str, list[float]]  # name of a candidate -> seconds of its runs


def interleave(
    candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1, threads: int | None = None
) -> Seconds:
    """Runs the candidates in turn, A B C A B C ..., and measures the time of each run.

    Args:
        candidates: Name -> function. A function that uses a GPU must wait for it.
        rounds: The number of timed runs of each candidate.
        warmup: The number of runs before them that are not timed.
        threads: The number of torch's threads meanwhile. None leaves it as it is.

    Returns:
        Name -> seconds of its runs, in order. The i-th runs of all candidates follow each other.

    Raises:
        ValueError: There is no round or no candidate.
    """
    if rounds < 1 or warmup < 0 or not candidates:
        raise ValueError(
            f"{len(candidates)} candidates, {rounds} rounds, {warmup} warm-up rounds: give at least 1, 1 and 0"
        )
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        for _ in progress(range(warmup), "warming up", unit="round"):
            for run in candidates.values():
                run()
        seconds: Seconds = {name: [] for name in candidates}
        for _ in progress(range(rounds), "timing", unit="round"):
            for name, run in candidates.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    finally:
        if threads is not None:
            torch.set_num_threads(before)
    return seconds


def figures(seconds: Seconds, pairs: Mapping[str, tuple[str, str]]) -> dict[str, dict]:
    """Summarizes the seconds that `interleave` measured.

    Args:
        seconds: Name of a candidate -> seconds of its runs.
        pairs: Name of a ratio -> the two candidates. In every round, the first is divided by the second.

    Returns:
        'ratios': the median of each ratio. 'spread': its smallest and largest value. 'medians': seconds of each candidate.
    """
    ratios = {
        name: [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        for name, (above, below) in pairs.items()
    }
    return {
        "ratios": {name: median(values) for name, values in ratios.items()},
        "spread": {name: (min(values), max(values)) for name, values in ratios.items()},
        "medians": {name: median(values) for name, values in seconds.items()},
    }


def merge(measured: dict, part: dict) -> None:
    """Adds the figures of a part to those that were measured before."""
    for key, value in part.items():
        if isinstance(value, dict):
            measured.setdefault(key, {}).update(value)
        else:
            measured[key] = value


def peak_memory() -> int:
    """Returns the largest number of bytes that this process has used."""
    # Linux hands the peak of the process that started this one on to it, except in this file.
    for line in STATUS.read_text().splitlines() if STATUS.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kibibytes


def peak_of_training() -> int:
    """Returns the largest number of bytes that were allocated on the GPU; without one, `peak_memory`."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory()
