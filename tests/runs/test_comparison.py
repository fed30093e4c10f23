import json

import numpy as np
import pytest
from scipy import stats

from tests.whole_runs import IDS, finished, results
from torchreid_rgbir.metrics import QueryScores, paired_bootstrap
from torchreid_rgbir.metrics.ranking import Scores
from torchreid_rgbir.runs.comparison import against, markdown, summary


def test_means_and_paired_differences():
    ours, theirs = [0.5, 0.6, 0.55], [0.4, 0.45, 0.5]
    found = summary(
        {
            "mso": {seed: results(value) for seed, value in enumerate(ours)},
            "id": {seed: results(value) for seed, value in enumerate(theirs)} | {2: {"error": "OSError: disk"}},
        }
    )
    first, second = found["methods"]
    assert found["reference"] == "mso"
    assert first["mean"]["mAP"] == pytest.approx(np.mean(ours)) and first["std"]["mAP"] == pytest.approx(np.std(ours))
    differences = np.array(theirs[:2]) - ours[:2]  # the third seed has no pair
    low, high = stats.t.interval(0.95, 1, differences.mean(), stats.sem(differences))
    assert second["difference"] == pytest.approx({"mAP": differences.mean(), "low": low, "high": high})
    assert "difference" not in first and second["runs"][2]["error"] == "OSError: disk"
    turned = against(found, "id")
    assert turned["methods"][0]["difference"]["mAP"] == pytest.approx(-differences.mean())
    assert "difference" not in turned["methods"][1] and against(turned, "mso") == found
    with pytest.raises(ValueError, match="reference wrt is not among the methods: choose one of mso, id"):
        against(found, "wrt")
    text = markdown(found | {"dataset": "sysu_mm01"})
    assert (
        "| id | 21.25 ± 1.25 | 42.50 ± 2.50 |" in text
        and "| 2/3 |" in text
        and "id, seed 2 failed: OSError: disk" in text
    )


def test_the_interval_over_identities_averages_over_the_seeds_of_both(tmp_path):
    rng = np.random.default_rng(0)
    ap = rng.random((2, 3, 10, 60))  # methods, seeds, trials, queries
    mso, plain = (
        {seed: finished(tmp_path / name / str(seed), one) for seed, one in enumerate(own)}
        for name, own in zip(("mso", "id"), ap, strict=True)
    )
    found = summary({"mso": mso, "id": plain | {1: {"error": "OSError: disk"}}, "old": {0: results(0.2)}})
    _, second, third = found["methods"]
    mean = [
        [QueryScores(IDS, IDS, IDS.astype(str), [Scores(IDS + 1, own, own)])] for own in ap[:, [0, 2]].mean(axis=(1, 2))
    ]
    assert second["difference_over_identities"] == pytest.approx(paired_bootstrap(*reversed(mean)))
    assert second["difference_over_identities"]["mAP"] == pytest.approx(second["difference"]["mAP"])
    assert "difference" in third and "difference_over_identities" not in third
    low, high = (100 * second["difference_over_identities"][key] for key in ("low", "high"))
    text = markdown(found | {"dataset": "sysu_mm01"})
    assert "mAP against mso [95 % over seeds] | [95 % over 30 identities] | runs |" in text
    assert f"] | [{low:+.2f}, {high:+.2f}] | 2/3 |" in text and "|  | 1/1 |" in text
    assert "identities" not in markdown(against(found, "old") | {"dataset": "sysu_mm01"})
    json.dumps(found, allow_nan=False)


def test_queries_that_cannot_be_paired_leave_a_line_below_the_table(tmp_path):
    ap = np.random.default_rng(0).random(60)
    runs = {"mso": {1: finished(tmp_path / "mso", ap)}, "id": {1: finished(tmp_path / "id", ap, IDS + 1)}}
    text = markdown(summary(runs) | {"dataset": "sysu_mm01"})
    assert "id has no interval over identities: " in text and "their queries differ: query 1 is 0.jpg of" in text
    assert text.count("\n") == 8 and "| +0.00 | 1/1 |" in text
