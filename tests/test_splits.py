import json

import numpy as np
import pytest

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.data.synthetic import synthesize
from torchreid_rgbir.splits import mean_over_splits, run_splits


@pytest.fixture
def regdb_cfg(tiny_cfg, tmp_path):
    synthesize("regdb", tmp_path / "RegDB", num_ids=12, images_per_camera=3, size=(32, 64), workers=1)
    words = [
        "data.sources",
        "[regdb]",
        "data.root",
        str(tmp_path),
        "sampler.batches_per_epoch",
        "1",
        "train.max_epoch",
        "1",
    ]
    return config.override(tiny_cfg, words)


def test_two_splits_and_their_mean(regdb_cfg, tmp_path, capsys):
    run = tmp_path / "run"
    (tmp_path / "cfg.yaml").write_text(regdb_cfg.dump())
    assert main(["splits", "--splits", "2", "--config-file", str(tmp_path / "cfg.yaml")]) == 0
    each = [json.loads((run / f"split_{split}" / "results.json").read_text()) for split in (1, 2)]
    both = json.loads((run / "results.json").read_text())
    assert [setting["split"] for results in each for setting in results["settings"]] == [1, 1, 2, 2]
    assert {setting["direction"] for setting in both["settings"]} == {"visible->thermal", "thermal->visible"}
    assert [setting["split"] for setting in both["settings"]] == [None, None, 1, 1, 2, 2]
    for number, setting in enumerate(both["settings"][:2]):
        values = [results["settings"][number]["mean"]["mAP"] for results in each]
        assert setting["num_trials"] == 2 and setting["split"] is None
        assert setting["mean"]["mAP"] == pytest.approx(np.mean(values))
        assert setting["std"]["mAP"] == pytest.approx(np.std(values))
    assert "visible->thermal" in capsys.readouterr().out


def test_finished_splits_are_kept_and_an_interrupted_one_goes_on(regdb_cfg, tmp_path, monkeypatch):
    run_splits(regdb_cfg, 2)
    (tmp_path / "run" / "split_2" / "results.json").unlink()
    started = []

    def train(cfg):
        started.append((cfg.data.split_id, cfg.model.resume))
        (tmp_path / "run" / "split_2" / "results.json").write_text(
            (tmp_path / "run" / "split_1" / "results.json").read_text()
        )

    monkeypatch.setattr("torchreid_rgbir.kept.train", train)
    run_splits(regdb_cfg, 2)
    assert started == [(1, "auto")]


def test_a_folder_of_another_configuration_is_refused(regdb_cfg):
    run_splits(regdb_cfg, 1)
    with pytest.raises(ValueError, match="holds a run with another train.lr"):
        run_splits(config.override(regdb_cfg, ["train.lr", "0.5"]), 1)


def test_only_regdb_has_splits(tiny_cfg):
    with pytest.raises(ValueError, match="only regdb has ten splits"):
        run_splits(tiny_cfg)


@pytest.mark.parametrize("number", [0, 11])
def test_there_are_ten_splits(regdb_cfg, number):
    with pytest.raises(ValueError, match="1 to 10"):
        run_splits(regdb_cfg, number)


def test_the_mean_by_hand():
    def result(value):
        return {"settings": [{"direction": "ir->rgb", "split": 1, "mean": {"mAP": value}, "std": {"mAP": 0.0}}]}

    (averaged,) = mean_over_splits([result(0.25), result(0.75)])
    assert averaged["mean"] == {"mAP": 0.5} and averaged["std"] == {"mAP": 0.25}
    assert averaged["trials"] == [{"mAP": 0.25}, {"mAP": 0.75}]
