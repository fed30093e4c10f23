import csv
import statistics

import numpy as np
import pytest

from torchreid_rgbir.metrics import QueryScores, load_queries, save_queries
from torchreid_rgbir.metrics.ranking import Scores

NAMES = ["a/0001.jpg", 'with,comma and "quotes".jpg', "a/bad\udcff.jpg", "b/0001.jpg"]


@pytest.fixture
def queries():
    """Four queries in three trials; the third one never has a match."""
    rng = np.random.default_rng(0)
    valid = np.array([1, 1, 0, 1])
    trials = [Scores(rng.integers(1, 9, 4) * valid, rng.random(4) * valid, rng.random(4) * valid) for _ in range(3)]
    return QueryScores(np.array([5, 5, 6, 9]), np.array([3, 6, 3, 6]), np.array(NAMES), trials)


def test_the_file_returns_every_digit(queries, tmp_path):
    save_queries(tmp_path / "queries.csv", queries)
    found = load_queries(tmp_path / "queries.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["queries.csv"]
    assert found.paths.tolist() == NAMES and found.source == str(tmp_path / "queries.csv")
    for name in ("pids", "camids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(queries, name))
    np.testing.assert_array_equal(found.trials, queries.trials)


def test_means_of_its_columns_are_the_measures(queries, tmp_path):
    """A spreadsheet's mean skips empty cells, and so does the mAP skip queries without a match."""
    save_queries(tmp_path / "queries.csv", queries)
    with open(tmp_path / "queries.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["trial"] == "2"]
    assert len(rows) == 4 and rows[2]["ap"] == rows[2]["first_match_rank"] == ""
    means = queries.trials[1].means()
    assert statistics.fmean(float(row["ap"]) for row in rows if row["ap"]) == pytest.approx(means["mAP"], abs=1e-15)
    assert statistics.fmean(float(row["inp"]) for row in rows if row["inp"]) == pytest.approx(means["mINP"], abs=1e-15)
    hits = [row["first_match_rank"] == "1" for row in rows if row["first_match_rank"]]
    assert statistics.fmean(hits) == pytest.approx(means["rank1"], abs=1e-15)


def test_weights_are_those_of_the_map():
    """A trial in which fewer queries are valid gives each of them more weight."""
    trials = [
        Scores(np.array([1, 2, 0]), np.array([1, 0.5, 0]), np.ones(3)),
        Scores(*np.array([[3, 0, 0], [0.2, 0, 0], [1, 0, 0]])),
    ]
    queries = QueryScores(np.arange(3), np.ones(3, int), np.array(["x"] * 3), trials)
    assert queries.weights.tolist() == [0.75, 0.25, 0]
    assert queries.weighted_ap.tolist() == [0.35, 0.125, 0]
    assert queries.weighted_ap.sum() == pytest.approx(np.mean([scores.means()["mAP"] for scores in trials]))


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv is missing: repeat the test with test.save_features True"):
        load_queries(tmp_path / "no.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "its first line is not trial"),
        (lambda text: text[: text.index("\n") + 1], "lines are missing"),
        (lambda text: text.replace("camid", "camera"), "its first line is not trial,pid,camid,path"),
        (lambda text: text[: text.rindex(",")], "a line is incomplete"),
        (lambda text: text[: text.rstrip().rindex("\n") + 1], "lines are missing"),
        (lambda text: text.replace("\n2,5,3", "\n2,4,3"), "not in their order"),
        (lambda text: text.replace("\n2,5,3", "\n3,5,3"), "not in their order"),
        (lambda text: text.replace("\n2,5,3", "\n2,five,3"), "invalid literal for int"),
        (lambda text: text.replace(",0.", ",7."), "a value is outside its range"),
        (lambda text: text.replace(",0.", ",nan", 1), "could not convert|outside its range"),
    ],
)
def test_a_damaged_file_is_an_error_of_one_line(queries, tmp_path, change, message):
    path = tmp_path / "queries.csv"
    save_queries(path, queries)
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=f"queries.csv cannot be used .*({message})") as error:
        load_queries(path)
    assert "\n" not in str(error.value)


def test_a_binary_file_is_an_error_of_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(50):
        (tmp_path / "queries.csv").write_bytes(rng.bytes(200))
        with pytest.raises(ValueError, match="queries.csv cannot be used"):
            load_queries(tmp_path / "queries.csv")
