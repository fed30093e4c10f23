"""Helpers for complete and interrupted runs: they interrupt a run, compare two runs apart from their durations, and write one."""

import json
import os
import signal

import numpy as np
import torch

from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.metrics import QueryScores, report, save_queries
from torchreid_rgbir.metrics.ranking import Scores
from torchreid_rgbir.protocols.protocol import mean_and_std
from torchreid_rgbir.runs.per_query import with_queries

IDS = np.repeat(np.arange(30), 2)  # of the queries of `finished`


def send_at(monkeypatch, method, call, number=signal.SIGTERM):
    """Makes the process send itself a signal at the `call`-th call (from 1) of an engine's method."""
    original, calls = getattr(CrossModalEngine, method), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    monkeypatch.setattr(CrossModalEngine, method, counted)


def assert_same_run(one, two, epochs=2):
    """Asserts that the last checkpoint, the best one and the results of two runs are equal bit for bit."""
    for name in (f"model.pth.tar-{epochs}", "model-best.pth.tar"):
        assert_equal(*(_state(folder / "model" / name) for folder in (one, two)), name)
    settings = [json.loads((folder / "results.json").read_text())["settings"] for folder in (one, two)]
    assert settings[0] == settings[1]


def assert_equal(one, two, place="state"):
    """Asserts equality bit for bit, through nested dicts and lists."""
    assert type(one) is type(two), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), place
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), place
        for key in one:
            assert_equal(one[key], two[key], f"{place}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), place
        for i, pair in enumerate(zip(one, two, strict=True)):
            assert_equal(*pair, f"{place}[{i}]")
    else:
        assert one == two, place


def _state(path):
    return {key: value for key, value in checkpoint.load(path).items() if key not in ("about", "seconds")}


def results(mAP):
    """What results.json of a run without scores of each query contains, as far as a comparison reads it."""
    mean = {"rank1": mAP / 2, "rank5": 1.0, "rank10": 1.0, "rank20": 1.0, "mAP": mAP, "mINP": mAP / 4}
    return {"settings": [{"search": "all", "shots": 1, "sampling": "official", "mean": mean}]}


def finished(folder, ap, pids=IDS, dataset="sysu_mm01", **setting):
    """Writes what a finished run has: results and the scores of queries with average precisions `ap` (T, Q)."""
    folder.mkdir(parents=True)
    trials = [Scores(np.ones(len(pids), int), row, row) for row in np.atleast_2d(ap)]
    names = np.array([f"{number}.jpg" for number in range(len(pids))])
    save_queries(folder / "queries.csv", QueryScores(pids, np.full(len(pids), 3), names, trials))
    means = [scores.means() for scores in trials]
    first = {"search": "all", "shots": 1, "sampling": "official", "num_queries": len(pids), "num_gallery": 9}
    first |= {"num_trials": len(trials), "num_valid_queries": len(pids)} | mean_and_std(means) | setting
    text = json.dumps(report.results(dataset, [first]))
    (folder / "results.json").write_text(text)
    return with_queries(json.loads(text), folder / "results.json")
