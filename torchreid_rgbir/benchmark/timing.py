"""Timing candidates against each other, interleaved: whatever slows the machine for a while slows them all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from torchreid_rgbir.terminal import progress


def interleave(candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Runs every candidate in turn, A B C A B C ..., and takes the time of each run.

    Args:
        candidates: name -> what to run; where it works on a device, it must wait for the device itself.
        rounds: timed runs of each.
        warmup: runs of each before, not timed.

    Returns:
        Name -> seconds of its runs, in order; the i-th runs of all candidates are neighbors in time.

    Raises:
        ValueError: no round or no candidate.
    """
    if rounds < 1 or warmup < 0 or not candidates:
        raise ValueError(
            f"{len(candidates)} candidates, {rounds} rounds, {warmup} warm-up: expected at least one, one and none"
        )
    for _ in progress(range(warmup), "warming up", unit="round"):
        for run in candidates.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in progress(range(rounds), "timing", unit="round"):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Name -> median of its seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def pair_ratios(seconds: Mapping[str, Sequence[float]], above: str, below: str) -> list[float]:
    """Seconds of `above` / seconds of `below`, round by round."""
    return [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest."""
    return min(values), max(values)
