import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from torchreid_rgbir.cli import main
from torchreid_rgbir.metrics import Rerank, TestFeatures, save_features
from torchreid_rgbir.protocols import llcm, regdb, standard, sysu_mm01


@pytest.fixture
def data() -> TestFeatures:
    """Six identities, four images in each camera 1 to 6: fits every protocol but LLCM's cameras."""
    rng = np.random.default_rng(0)
    pids, camids, numbers = (a.ravel() for a in np.meshgrid(range(1, 7), range(1, 7), range(1, 5), indexing="ij"))
    features = (rng.standard_normal((7, 8))[pids] + rng.standard_normal((len(pids), 8))).astype(np.float32)
    return TestFeatures(features, pids, camids, np.isin(camids, (3, 6)).astype(int), numbers)


@pytest.fixture
def features(tmp_path, data) -> str:
    save_features(tmp_path / "features.npz", data)
    return str(tmp_path / "features.npz")


@pytest.fixture
def permutations(tmp_path) -> str:
    rng = np.random.default_rng(1)
    cameras = np.empty((6, 1), object)
    for camid in range(6):
        cameras[camid, 0] = np.empty((6, 1), object)
        for pid in range(6):
            cameras[camid, 0][pid, 0] = np.array([rng.permutation(4) + 1 for _ in range(10)], np.uint8)
    savemat(tmp_path / "rand_perm_cam.mat", {"rand_perm_cam": cameras})
    return str(tmp_path / "rand_perm_cam.mat")


def error_of(capsys, *argv: str) -> str:
    assert main(["evaluate", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_sysu_mm01_writes_json_and_markdown(tmp_path, capsys, data, features, permutations):
    out, table = tmp_path / "out.json", tmp_path / "out.md"
    argv = ["evaluate", features, "--protocol", "sysu_mm01", "--permutations", permutations]
    assert main([*argv, "--json", str(out), "--markdown", str(table)]) == 0
    results = json.loads(out.read_text())
    assert results["settings"] == sysu_mm01.report(data, permutations)
    assert [results[key] for key in ("dataset", "query", "gallery", "distance")] == ["sysu_mm01", "ir", "rgb", "cosine"]
    assert results["features"] == features
    assert results["versions"]["numpy"] == np.__version__
    printed = capsys.readouterr().out
    assert printed.count("official") == table.read_text().count("official") == 4
    assert "| all-search, single-shot, official |" in table.read_text()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--protocol", "sysu_mm01", "--sampling", "agw"], lambda d: sysu_mm01.report(d, None, sampling="agw")),
        (
            ["--protocol", "sysu_mm01", "--sampling", "agw", "--query", "rgb", "--distance", "euclidean"],
            lambda d: sysu_mm01.report(d, None, sampling="agw", query="rgb", distance="euclidean"),
        ),
        (["--protocol", "regdb", "--split", "4"], lambda d: regdb.report(d, 4)),
    ],
)
def test_flags_reach_the_protocol(tmp_path, data, features, flags, expected):
    assert main(["evaluate", features, *flags, "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["settings"] == expected(data)


@pytest.mark.parametrize(
    ("protocol", "report", "flags"),
    [
        ("sysu_mm01", lambda d, **choices: sysu_mm01.report(d, None, sampling="agw", **choices), ["--sampling", "agw"]),
        ("regdb", regdb.report, []),
        ("llcm", llcm.report, []),
        ("standard", standard.report, []),
    ],
)
def test_query_distance_and_re_ranking_reach_every_protocol(tmp_path, data, protocol, report, flags):
    if protocol == "llcm":
        data = for_llcm(data)
    save_features(tmp_path / "f.npz", data)
    argv = ["evaluate", str(tmp_path / "f.npz"), "--protocol", protocol, *flags, "--json", str(tmp_path / "out.json")]
    choices = {"query": "rgb", "distance": "euclidean", "rerank": Rerank(5, 2, 0.3)}
    assert main([*argv, "--query", "rgb", "--distance", "euclidean", "--rerank", "5", "2", "0.3"]) == 0
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["settings"] == report(data, **choices)
    assert [results[key] for key in ("query", "gallery", "distance", "feature")] == ["rgb", "ir", "euclidean", "given"]
    for name, default in {"query": "ir", "distance": "cosine", "rerank": None}.items():
        assert results["settings"] != report(data, **choices | {name: default}), name


def for_llcm(data: TestFeatures) -> TestFeatures:
    """LLCM's camera 3 sees no infrared."""
    cameras = np.where(data.camids == 3, 7, data.camids)
    return TestFeatures(data.features, data.pids, cameras, data.modalities, data.image_numbers)


def test_llcm(tmp_path, data):
    both = for_llcm(data)
    save_features(tmp_path / "llcm.npz", both)
    out = tmp_path / "out.json"
    assert main(["evaluate", str(tmp_path / "llcm.npz"), "--protocol", "llcm", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["settings"] == llcm.report(both)


def test_rerank_adds_a_named_row(tmp_path, capsys, features):
    out = tmp_path / "out.json"
    argv = ["evaluate", features, "--protocol", "standard", "--rerank", "5", "2", "0.3", "--json", str(out)]
    assert main(argv) == 0
    plain, reranked = json.loads(out.read_text())["settings"]
    assert "rerank" not in plain
    assert reranked["rerank"] == {"k1": 5, "k2": 2, "lambda": 0.3}
    assert "ir->rgb, re-ranked (5, 2, 0.3)" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, capsys, data, features, permutations):
    sysu = [features, "--protocol", "sysu_mm01"]
    assert "need SYSU-MM01's rand_perm_cam.mat" in error_of(capsys, *sysu)
    assert "is not a readable MATLAB file" in error_of(capsys, *sysu, "--permutations", features)
    assert "nowhere.mat is missing" in error_of(capsys, *sysu, "--permutations", "nowhere.mat")
    assert "nowhere.npz is missing" in error_of(capsys, "nowhere.npz", "--protocol", "regdb")
    assert "not an .npz file" in error_of(capsys, permutations, "--protocol", "regdb")
    assert "split 11 does not exist" in error_of(capsys, features, "--protocol", "regdb", "--split", "11")
    assert "LLCM's nir cameras" in error_of(capsys, features, "--protocol", "llcm")
    for flag in (["--permutations", permutations], ["--sampling", "agw"], ["--split", "1"]):
        assert f"{flag[0]} is for" in error_of(capsys, features, "--protocol", "standard", *flag)
    both = [*sysu, "--sampling", "agw", "--permutations", permutations]
    assert "--permutations has no effect with --sampling agw" in error_of(capsys, *both)
    bad = ["--rerank", "5", "2.5", "0.3"]
    assert "expected two whole numbers and a fraction" in error_of(capsys, features, "--protocol", "standard", *bad)
    bad = ["--json", str(tmp_path / "nowhere" / "out.json")]
    assert "nowhere is not a folder" in error_of(capsys, features, "--protocol", "standard", *bad)
    for flag in ("--json", "--markdown"):
        # Before anything is read, let alone scored.
        assert "is a folder: give the path of a file in it" in error_of(
            capsys, "nowhere.npz", "--protocol", "standard", flag, str(tmp_path)
        )
    alone = TestFeatures(data.features, np.arange(len(data)), data.camids, data.modalities, data.image_numbers)
    save_features(tmp_path / "alone.npz", alone)
    message = error_of(capsys, str(tmp_path / "alone.npz"), "--protocol", "standard")
    assert "alone.npz: direction ir->rgb: none of the 48 queries has a match" in message


@pytest.mark.parametrize("flags", [["--protocol", "market"], ["--protocol", "regdb", "--distance", "l1"], []])
def test_unknown_choices(features, flags):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", features, *flags])
    assert caught.value.code == 2


def test_an_unknown_protocol_from_python(features):
    from torchreid_rgbir.commands.evaluate import evaluate

    with pytest.raises(
        ValueError, match="protocol 'market' is unknown: choose one of sysu_mm01, regdb, llcm, rgbnt100"
    ):
        evaluate(features, "market")


def test_the_script_is_the_command(features):
    script = Path(__file__).parents[2] / "tools" / "evaluate.py"
    done = subprocess.run([sys.executable, script, features, "--protocol", "regdb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "thermal->visible" in done.stdout
