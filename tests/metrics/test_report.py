import io
import json
import os
import stat

import pytest

from torchreid_rgbir import terminal
from torchreid_rgbir.metrics import report

MEAN = {"rank1": 0.5, "rank5": 0.75, "rank10": 0.8, "rank20": 1.0, "mAP": 0.12345, "mINP": 0.1}


def setting(**name) -> dict:
    counts = {"num_trials": 10, "num_queries": 3803, "num_valid_queries": 2208, "num_gallery": 112}
    return {**counts, "mean": MEAN, "std": dict.fromkeys(MEAN, 0.0125), "trials": [MEAN] * 10} | name


SYSU = [
    setting(search="all", shots=1, sampling="official"),
    setting(search="indoor", shots=10, sampling="official", rerank={"k1": 40, "k2": 35, "lambda": 0.1}),
]


def test_results_top_level():
    results = report.results("sysu_mm01", SYSU, query="rgb", feature="pooled", distance="euclidean")
    assert results == {
        "dataset": "sysu_mm01", "query": "rgb", "gallery": "ir", "feature": "pooled", "distance": "euclidean", "settings": SYSU
    }  # fmt: skip
    made = report.results("sysu_mm01", SYSU, flip=False, normalize_feature=True)
    assert (made["flip"], made["normalize_feature"]) == (False, True)


def test_written_results_are_read_back_and_nothing_else_is_left(tmp_path):
    results = report.results("sysu_mm01", SYSU)
    path = tmp_path / "results.json"
    path.write_text("old")
    report.write_results(path, results)
    assert json.loads(path.read_text()) == results
    assert os.listdir(tmp_path) == ["results.json"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(ValueError):
        report.write_results(path, {"nan": float("nan")})

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        report.write_results(path, {})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]


def test_setting_names():
    names = [report.setting_name(s) for s in SYSU]
    assert names == [
        "all-search, single-shot, official",
        "indoor-search, multi-shot, official, re-ranked (40, 35, 0.1)",
    ]
    assert report.setting_name(setting(split=3, direction="visible->thermal")) == "visible->thermal, split 3"
    assert report.setting_name(setting(split=None, direction="visible->thermal")) == "visible->thermal"
    assert report.setting_name(setting(direction="ir->rgb")) == "ir->rgb"
    mean = setting(
        split=None, splits=[1, 2, 3], direction="visible->thermal", rerank={"k1": 20, "k2": 6, "lambda": 0.3}
    )
    assert report.setting_name(mean) == "visible->thermal, mean of 3 splits, re-ranked (20, 6, 0.3)"
    for images, words in (("rgb", "RGB images"), ("ir", "IR images"), ("both", "RGB and IR images")):
        corrupted = report.setting_name(mean | {"corruption": {"images": images}})
        assert corrupted == f"visible->thermal, mean of 3 splits, corrupted {words}, re-ranked (20, 6, 0.3)"


def test_what_the_authors_do_not_define_has_another_name():
    reverse = setting(search="all", shots=1, sampling="official", query="rgb")
    assert report.setting_name(reverse) == "all-search, single-shot, official, RGB queries (not official)"
    results = report.results("sysu_mm01", [reverse], query="rgb")
    for table in (report.terminal_table(results), report.markdown_table(results)):
        assert "all-search, single-shot, official, RGB queries (not official)" in table


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({}, "bn features; measures"),
        ({"flip": False, "normalize_feature": False}, "bn features; measures"),
        ({"flip": True}, "bn features, flip test; measures"),
        ({"normalize_feature": True}, "bn features, L2-normalized; measures"),
        ({"flip": True, "normalize_feature": True, "feature": "pooled"}, "pooled features, flip test, L2-normalized; "),
    ],
)
def test_the_caption_says_how_the_features_were_made(flags, says):
    results = report.results("sysu_mm01", SYSU, **flags)
    assert says in report.terminal_table(results).splitlines()[0]
    assert says in report.markdown_table(results).splitlines()[0]


def test_the_caption_names_no_query_where_the_rows_name_directions():
    both = [setting(direction="thermal->visible"), setting(direction="visible->thermal")]
    assert report.terminal_table(report.results("regdb", both)).startswith("regdb: cosine distance, ")
    assert report.terminal_table(report.results("sysu_mm01", SYSU)).startswith("sysu_mm01: ir queries, cosine distance")


def test_the_caption_counts_junk_images():
    junk = [setting(direction="ir->rgb", num_junk=3), setting(direction="rgb->ir", num_junk=3)]
    for table in (report.terminal_table, report.markdown_table):
        caption = table(report.results("standard", junk)).splitlines()[0]
        assert caption.endswith("measures in %; 3 junk images (negative identities) excluded")
        assert "junk" not in table(report.results("standard", [setting(direction="ir->rgb", num_junk=0)]))


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (105, ["Rank-1", "Rank-5", "Rank-10", "Rank-20", "mAP", "mINP", "valid queries"]),
        (80, ["Rank-1", "Rank-10", "Rank-20", "mAP", "mINP"]),
        (40, ["Rank-1", "mAP"]),
    ],
)
def test_a_table_that_is_too_wide_has_two_lines_per_setting(width, columns):
    results = report.results("sysu_mm01", SYSU, flip=True, normalize_feature=True)
    assert report.terminal_table(results, 1000) == report.terminal_table(results)
    table = report.terminal_table(results, width)
    assert max(map(len, table.splitlines())) <= width
    caption, (header, _, *rows) = (part.splitlines() for part in table.split("\n\n"))
    assert " ".join(caption) == report.terminal_table(results).splitlines()[0]
    assert header.split("  ")[0] == "" and " ".join(header.split()) == " ".join(columns)
    names, numbers = [row for row in rows if "±" not in row], [row for row in rows if "±" in row]
    assert " ".join(names) == " ".join(map(report.setting_name, SYSU))
    assert [row.split()[:3] for row in numbers] == [["50.00", "±", "1.25"]] * 2


def test_terminal_table():
    caption, blank, header, rule, *rows = report.terminal_table(report.results("sysu_mm01", SYSU)).splitlines()
    assert caption == "sysu_mm01: ir queries, cosine distance, bn features; measures in %"
    assert blank == ""
    assert header.split()[:5] == ["setting", "Rank-1", "Rank-5", "Rank-10", "Rank-20"]
    assert set(rule) == {"-", " "}
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert "50.00 ± 1.25" in rows[0]
    assert "12.35 ± 1.25" in rows[0] or "12.34 ± 1.25" in rows[0]
    assert rows[0].split()[-3:] == ["2208/3803", "112", "10"]


def test_markdown_table():
    lines = report.markdown_table(
        report.results("regdb", [setting(split=1, direction="a->b", num_trials=1)])
    ).splitlines()
    assert lines[2].startswith("| setting | Rank-1 | Rank-5 | Rank-10 | Rank-20 | mAP | mINP | valid queries |")
    assert len({line.count("|") for line in lines[2:]}) == 1
    assert lines[4].startswith("| a->b, split 1 | 50.00 | 75.00 |")  # one trial has no deviation


def test_where_a_result_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch):
    report.check_folder(tmp_path / "new.json")
    monkeypatch.chdir(tmp_path)
    report.check_folder("new.json")
    for path in (".", tmp_path):
        with pytest.raises(IsADirectoryError, match="is a folder: give the path of a file in it"):
            report.check_folder(path)
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder: create it"):
        report.check_folder("nowhere/new.json")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a superuser may write everywhere
    with pytest.raises(PermissionError, match="is not writable: choose a different path than new.json"):
        report.check_folder("new.json")
    assert not list(tmp_path.iterdir())


def test_a_pipe_has_no_width_and_a_terminal_has_its_own(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    console = io.StringIO()
    assert terminal.width(console) is None
    monkeypatch.setattr(console, "isatty", lambda: True)
    assert terminal.width(console) == 72
