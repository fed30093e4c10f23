import multiprocessing

import numpy as np
import pytest
import torch

from torchreid_rgbir.benchmark import timing


def test_candidates_take_turns(monkeypatch):
    clock, calls = [0.0], []

    def candidate(name, seconds):
        def run():
            calls.append(name)
            clock[0] += seconds * len(calls)

        return run

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    seconds = timing.interleave({"a": candidate("a", 1), "b": candidate("b", 2)}, rounds=3, warmup=1)
    assert "".join(calls) == "abababab"
    assert seconds == {"a": [3, 5, 7], "b": [8, 12, 16]}


@pytest.mark.parametrize(("names", "rounds", "warmup"), [("ab", 0, 1), ("", 1, 1), ("a", 1, -1)])
def test_nothing_to_time(names, rounds, warmup):
    with pytest.raises(ValueError, match="give at least 1, 1 and 0"):
        timing.interleave(dict.fromkeys(names, int), rounds, warmup)


def test_figures_are_medians_over_the_rounds():
    seconds = {"slow": [9.0, 4.0, 6.0], "fast": [3.0, 2.0, 1.0]}
    assert timing.figures(seconds, {"slow_over_fast": ("slow", "fast")}) == {
        "ratios": {"slow_over_fast": 3.0},
        "spread": {"slow_over_fast": (2.0, 6.0)},
        "medians": {"slow": 6.0, "fast": 2.0},
    }


def test_parts_are_merged():
    measured = {"ratios": {"a": 1}, "device": "cpu"}
    timing.merge(measured, {"ratios": {"b": 2}, "peak": 3})
    assert measured == {"ratios": {"a": 1, "b": 2}, "device": "cpu", "peak": 3}


def test_threads_are_restored_after_an_error():
    before, seen = torch.get_num_threads(), []

    def fail():
        seen.append(torch.get_num_threads())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        timing.interleave({"a": fail}, 1, threads=before + 1)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)


def test_the_peak_of_a_process_is_not_that_of_the_process_that_started_it():
    held = np.ones(2**28)  # 2 GiB
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(timing.peak_memory) < held.nbytes <= timing.peak_memory()
