"""The command: what it prints, and its exit status."""

import json

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.runs.published import ROWS, STEP_EQUAL


@pytest.fixture
def write(tmp_path):
    def write(rank1, mAP, **changes):
        mean, std = {"rank1": rank1, "mAP": mAP, "mINP": 0.353}, {"rank1": 0.012, "mAP": 0.007, "mINP": 0.006}
        setting = {"search": "all", "shots": 1, "sampling": "official", "num_trials": 10, "num_queries": 3803}
        setting |= {"num_valid_queries": 3803, "num_gallery": 301, "mean": mean, "std": std} | changes
        path = tmp_path / "results.json"
        path.write_text(json.dumps({"dataset": "sysu_mm01", "checkpoint": "best.tar", "settings": [setting]}))
        return str(path)

    return write


def test_above_is_printed_with_points_and_notes(write, capsys):
    assert main(["published", write(0.4950, 0.4765), "--method", "agw"]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "sysu_mm01, checkpoint best.tar"
    assert lines[2].startswith("all-search, single-shot, official, against AGW (Ye et al., TPAMI 2021")
    assert lines[3].split() == ["Rank-1", "49.50", "±", "1.20", "published", "47.50", "+2.00", "above"]
    assert lines[4].split() == ["mAP", "47.65", "±", "0.70", "published", "47.65", "+0.00", "within"]
    assert lines[6] == "  note: galleries are sampled with test.sampling official, AGW's were sampled with agw"
    assert lines[-1] == "above AGW's; within means a difference of at most 1 points"


def test_below_is_a_finding(write, capsys):
    path = write(0.40, 0.4765)
    assert main(["published", path, "--method", "AGW"]) == 1
    assert "-7.50   below" in capsys.readouterr().out
    assert main(["published", path, "--method", "AGW", "--tolerance", "8"]) == 0
    assert "within AGW's; within means a difference of at most 8 points" in capsys.readouterr().out


def test_without_a_method_every_row_of_the_setting_is_shown(write, capsys):
    assert main(["published", write(0.58, 0.55)]) == 1
    shown = capsys.readouterr().out
    assert shown.count(", against ") == sum(row.dataset == "sysu_mm01" and not row.rerank for row in ROWS)
    assert "above AGW's, within baseline's, below CEIL's, below PMT's" in shown


def test_without_a_file_the_rows_are_listed(capsys):
    assert main(["published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(ROWS)
    words = ["sysu_mm01", "all-search,", "single-shot", "AGW", "47.50", "47.65", "35.30", "agw_sysu"]
    assert lines[1].split()[:8] == words and lines[1].split()[9] == "Ye"
    methods = [line.split()[3] for line in lines if "re-ranked" in line]
    assert methods == ["CEIL", "MCJA"]


def test_a_row_says_whether_our_recipe_is_step_equal(capsys):
    main(["published"])
    lines = capsys.readouterr().out.splitlines()
    said = {(row.method, row.dataset): line for row, line in zip(ROWS, lines[1:], strict=True)}
    assert " luckydc_sysu yes " in said["baseline", "sysu_mm01"]
    assert " agw_llcm     no " in said["AGW", "llcm"]
    assert " -            - " in said["PMT", "sysu_mm01"]
    assert {row.recipe for row in ROWS} - {""} | STEP_EQUAL <= {path.stem for path in config.shipped()}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--method", "nosuch"], "there is no row of the method nosuch for sysu_mm01: choose from AGW"),
        (["--tolerance", "-1"], "a tolerance of -1 points"),
    ],
)
def test_mistakes_are_one_line(write, capsys, flags, says):
    assert main(["published", write(0.5, 0.5), *flags]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_synthetic_data_is_not_compared(write, capsys):
    assert main(["published", write(0.6, 0.6, num_queries=450, num_gallery=300)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "nothing to compare: all-search, single-shot has 450 queries" in printed.err


def test_a_method_alone_compares_nothing(capsys):
    assert main(["published", "--method", "AGW"]) == 2
    assert "give the RESULTS.json to compare" in capsys.readouterr().err
