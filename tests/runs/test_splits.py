import json
from pathlib import Path

import numpy as np
import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.runs.splits import mean_over_splits, run_splits
from torchreid_rgbir.runs.train import build_engine
from torchreid_rgbir.synthetic.write import synthesize


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
    words = ["test.flip", "True", "test.normalize_feature", "True"]
    argv = ["splits", "--splits", "2", "--config-file", str(tmp_path / "cfg.yaml"), "--root", str(tmp_path), *words]
    assert main(argv) == 0
    each = [json.loads((run / f"split_{split}" / "results.json").read_text()) for split in (1, 2)]
    both = json.loads((run / "results.json").read_text())
    assert [setting["split"] for results in each for setting in results["settings"]] == [1, 1, 2, 2]
    means, settings = both["settings"][:2], both["settings"][2:]
    assert settings == [setting for results in each for setting in results["settings"]]
    assert {setting["direction"] for setting in means} == {"visible->thermal", "thermal->visible"}
    for number, setting in enumerate(means):
        values = [results["settings"][number]["mean"]["mAP"] for results in each]
        assert setting["num_trials"] == 2 and setting["split"] is None and setting["splits"] == [1, 2]
        assert setting["mean"]["mAP"] == pytest.approx(np.mean(values))
        assert setting["std"]["mAP"] == pytest.approx(np.std(values))
    for key in ("checkpoint", "config"):
        assert both[key] == [results[key] for results in each] and all(Path(path).is_file() for path in both[key])
    assert both["flip"] is both["normalize_feature"] is True
    table = (run / "results.md").read_text()
    assert table.startswith("regdb: cosine distance, bn features, flip test, L2-normalized; measures in %")
    rows = [line.split(" | ")[0] for line in table.splitlines()[4:]]
    names = ["mean of 2 splits", "split 1", "split 2"]
    assert rows == [f"| {way}, {name}" for name in names for way in ("thermal->visible", "visible->thermal")]
    printed, log = capsys.readouterr()
    assert printed.count("thermal->visible, mean of 2 splits") == 1 and "split 1 is complete" not in log

    assert main(argv) == 0
    printed, log = capsys.readouterr()
    assert "split 1 is complete" in log and "split 2 is complete" in log and "Start training" not in printed + log
    assert printed.startswith("regdb: ")
    assert json.loads((run / "results.json").read_text()) == both


def test_interrupted_twice_it_ends_as_if_it_never_had_been(regdb_cfg, tmp_path, monkeypatch):
    torch.save(build_engine(regdb_cfg).model.state_dict(), tmp_path / "start.pth")
    words = ["train.max_epoch", "3", "test.eval_freq", "1", "model.load_weights", str(tmp_path / "start.pth")]
    cfg = config.override(regdb_cfg, words)
    whole = run_splits(config.override(cfg.clone(), ["data.save_dir", str(tmp_path / "whole")]), 1)
    step = CrossModalEngine.forward_backward
    epochs = []
    for stop in (1, 2):

        def interrupted(engine, data, stop=stop):
            epochs.append(engine.epoch)
            if engine.epoch == stop:
                raise KeyboardInterrupt
            return step(engine, data)

        monkeypatch.setattr(CrossModalEngine, "forward_backward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_splits(cfg, 1)
    monkeypatch.setattr(CrossModalEngine, "forward_backward", step)
    assert epochs == [0, 1, 1, 2]
    (tmp_path / "RegDB").rename(tmp_path / "moved")
    elsewhere = ["data.root", str(tmp_path / "moved"), "data.workers", "1"]
    found = run_splits(config.override(cfg.clone(), elsewhere), 1)
    assert found["settings"] == whole["settings"]
    assert found["checkpoint"] == [str(tmp_path / "run" / "split_1" / "model" / "model.pth.tar-3")]


def test_a_split_that_lacks_only_its_results_is_only_tested(regdb_cfg, tmp_path, capsys):
    first = run_splits(regdb_cfg, 1)
    split = tmp_path / "run" / "split_1"
    (split / "results.json").unlink()
    capsys.readouterr()
    again = run_splits(regdb_cfg, 1)
    assert again["settings"] == first["settings"] and again["checkpoint"] == first["checkpoint"]
    assert "Start training" not in "".join(capsys.readouterr())
    names = sorted(path.name for path in (split / "model").iterdir())
    assert names == ["SHA256SUMS", "model-best.pth.tar", "model.pth.tar-1"]
    assert run_splits(regdb_cfg, 1) == again


def test_a_folder_of_another_configuration_is_refused(regdb_cfg):
    run_splits(regdb_cfg, 1)
    with pytest.raises(ValueError, match="holds a run with a different train.lr"):
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
