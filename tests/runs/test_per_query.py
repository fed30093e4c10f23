"""`test.save_features`: the files that a test writes for its features and for each query."""

import json

import numpy as np
import pytest

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.metrics import load_features, load_queries
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import synthesize

SAVE = ["train.max_epoch", "1", "test.save_features", "True"]


def files(folder):
    return {path.name for path in folder.iterdir() if path.suffix in (".csv", ".npz", ".json", ".writing")}


def test_the_files_of_a_training_are_scored_again_to_the_same_numbers(fast_cfg, tmp_path):
    engine, run = train(config.override(fast_cfg, SAVE)), tmp_path / "run"
    assert files(run) == {"results.json", "features.npz", "queries.csv"}
    results = json.loads((run / "results.json").read_text())
    again = tmp_path / "again.json"
    command = [
        "evaluate",
        str(run / "features.npz"),
        "--protocol",
        "sysu_mm01",
        "--sampling",
        "agw",
        "--json",
        str(again),
    ]
    assert main(command) == 0
    assert json.loads(again.read_text())["settings"] == results["settings"]

    first, queries = results["settings"][0], load_queries(run / "queries.csv")
    assert len(queries.trials) == first["num_trials"] == 10
    assert len(queries.pids) == first["num_queries"]
    assert queries.weighted_ap.sum() == pytest.approx(first["mean"]["mAP"], abs=1e-12)
    assert [trial.means() for trial in queries.trials] == first["trials"]
    features = load_features(run / "features.npz")
    assert set(queries.paths) <= set(features.paths) and set(np.unique(queries.camids)) == {3, 6}
    assert features.features is not engine.features["sysu_mm01"].features


def test_a_test_in_the_folder_of_a_training_has_files_of_its_own(fast_cfg, tmp_path):
    run = tmp_path / "run"
    train(config.override(fast_cfg, SAVE))
    before = {name: (run / name).read_bytes() for name in files(run)}
    weights = str(run / "model" / "model.pth.tar-1")
    options = ["test.evaluate", "True", "model.load_weights", weights, "test.flip", "True", "test.query", "rgb"]
    options += ["test.dist_metric", "euclidean", "test.feature", "pooled"]
    train(config.override(fast_cfg.clone(), options))
    assert {name: (run / name).read_bytes() for name in before} == before
    assert files(run) - before.keys() == {"test-results.json", "test-features.npz", "test-queries.csv"}
    first, queries = (
        json.loads((run / "test-results.json").read_text())["settings"][0],
        load_queries(run / "test-queries.csv"),
    )
    assert queries.weighted_ap.sum() == pytest.approx(first["mean"]["mAP"], abs=1e-12)
    assert set(queries.camids) == {1, 2, 4, 5}


def test_without_the_key_nothing_is_written_or_ranked_again(fast_cfg, tmp_path, monkeypatch):
    monkeypatch.delattr("torchreid_rgbir.protocols.Protocol.score_queries")
    train(config.override(fast_cfg, ["train.max_epoch", "1"]))
    assert files(tmp_path / "run") == {"results.json"}


def test_several_data_sets_have_files_of_their_own(fast_cfg, sysu_root, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "SYSU-MM01").symlink_to(sysu_root)
    synthesize("regdb", tmp_path / "data" / "RegDB", num_ids=10, images_per_camera=2, size=(16, 32), workers=1)
    words = ["data.root", str(tmp_path / "data"), "data.targets", "[sysu_mm01, regdb]"]
    train(config.override(fast_cfg, SAVE + words))
    for name in ("sysu_mm01", "regdb"):
        first = json.loads((tmp_path / "run" / f"results-{name}.json").read_text())["settings"][0]
        queries = load_queries(tmp_path / "run" / f"queries-{name}.csv")
        assert queries.weighted_ap.sum() == pytest.approx(first["mean"]["mAP"], abs=1e-12)
        assert len(load_features(tmp_path / "run" / f"features-{name}.npz")) > len(queries.pids)
