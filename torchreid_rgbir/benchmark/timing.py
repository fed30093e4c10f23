"""Interleaved timing of several candidates, so that a busy machine slows all of them down alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from torchreid_rgbir.terminal import progress


def interleave(candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Runs the candidates in turn, A B C A B C ..., and measures the time of each run.

    Args:
        candidates: Name -> function. A function that uses a GPU must wait for it.
        rounds: The number of timed runs of each candidate.
        warmup: The number of runs before them that are not timed.

    Returns:
        Name -> seconds of its runs, in order. The i-th runs of all candidates follow each other.

    Raises:
        ValueError: There is no round or no candidate.
    """
    if rounds < 1 or warmup < 0 or not candidates:
        raise ValueError(
            f"{len(candidates)} candidates, {rounds} rounds, {warmup} warm-up rounds: give at least 1, 1 and 0"
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
    """Returns the median of each candidate's seconds."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def pair_ratios(seconds: Mapping[str, Sequence[float]], above: str, below: str) -> list[float]:
    """Returns seconds of `above` / seconds of `below` for every round."""
    return [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns the smallest and the largest value."""
    return min(values), max(values)
