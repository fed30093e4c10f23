import pytest

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


def test_medians_and_ratios():
    seconds = {"slow": [9.0, 4.0, 6.0], "fast": [3.0, 2.0, 1.0]}
    assert timing.medians(seconds) == {"slow": 6.0, "fast": 2.0}
    assert timing.pair_ratios(seconds, "slow", "fast") == [3.0, 2.0, 6.0]
    assert timing.spread([3.0, 2.0, 6.0]) == (2.0, 6.0)
