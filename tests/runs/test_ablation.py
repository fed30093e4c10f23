import json
import logging
import re
from pathlib import Path

import pytest

from torchreid_rgbir import config
from torchreid_rgbir.data import SYSUMM01
from torchreid_rgbir.runs import ablation as ablation_module
from torchreid_rgbir.runs import compare as compare_module
from torchreid_rgbir.runs import ingredients
from torchreid_rgbir.runs.ablation import ablation
from torchreid_rgbir.runs.methods import QUESTIONS, SETTINGS, STARTS
from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic
from torchreid_rgbir.synthetic.render import PRESETS


def results(mAP):
    mean = {"rank1": mAP / 2, "mAP": mAP, "mINP": mAP / 4}
    return {"settings": [{"search": "all", "shots": 1, "sampling": "official", "mean": mean}]}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Runs that write their configuration and a result at once, on data that are not rendered, from starts that are empty files."""
    made = []

    def resume_or_skip(cfg, folder):
        path = folder / "results.json"
        if not path.is_file():
            made.append(folder.relative_to(tmp_path / "out/runs"))
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text(cfg.dump())
            path.write_text(json.dumps(results(0.1 * cfg.train.seed + 0.3 * bool(cfg.loss.mso.weight_cmcc))))
        return {"sysu_mm01": json.loads(path.read_text())}

    def starting_point(name, out):
        path = out / "starts" / f"{name}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    monkeypatch.setattr(compare_module, "resume_or_skip", resume_or_skip)
    monkeypatch.setattr(ingredients, "starting_point", starting_point)
    monkeypatch.setattr(
        ingredients, "DATA", {name: (data, lambda root: root / "none") for name, (data, _) in ingredients.DATA.items()}
    )
    return made


def planned(tmp_path, names=tuple(QUESTIONS)):
    return list(ablation_module._planned(tmp_path / "out", names, [1]))


def test_every_run_has_a_valid_configuration_and_a_folder_of_its_own(tmp_path, trained):
    runs = planned(tmp_path)
    by_folder = {}
    for run in runs:
        dump = by_folder.setdefault(run.folder, run.cfg.dump())
        assert dump == run.cfg.dump()  # questions share a run only if it is the same
    for name, question in QUESTIONS.items():
        dumps = {run.cfg.dump() for run in runs if run.question == name}
        assert len(dumps) == len(question.methods)
        assert set(question.references) <= set(question.methods)
        shared = {
            (run.cfg.data.height, run.cfg.train.batch_size, run.cfg.train.max_epoch, run.cfg.sampler.batches_per_epoch)
            for run in runs
            if run.question == name
        }
        assert name == "benchmark" or len(shared) == 1
        assert {run.cfg.train.max_epoch for run in runs if run.question == name} == {
            int(re.search(r"train.max_epoch (\d+)", SETTINGS[question.setting].words)[1])
        }


def test_all_methods_start_from_trained_weights(tmp_path, trained):
    for run in planned(tmp_path):
        start = run.cfg.model.pretrained
        if run.cfg.model.name == "dual_efficientnet_lite0":
            assert start is True
        else:
            assert Path(start).is_file()
            assert STARTS[Path(start).stem].model == run.cfg.model.name.removeprefix("dual_")
            assert Path(start).stem.endswith("_hard") == ("hard" in QUESTIONS[run.question].setting)
        assert run.cfg.loss.pef.weights == "random" or Path(run.cfg.loss.pef.weights).stem == "vgg16_bn"


def test_the_recipes_of_others_keep_their_losses_and_optimizer(tmp_path, trained):
    agw = next(run.cfg for run in planned(tmp_path, ["benchmark"]) if run.method.startswith("agw_sysu"))
    published = config.load("agw_sysu")
    assert agw.loss.mso == published.loss.mso and agw.loss.wrt == published.loss.wrt
    assert (agw.train.optim, agw.train.staged_lr, agw.sampler.name) == ("sgd", True, "agw")
    assert config.differences(agw, published)[0] == "model.name" and agw.train.stepsize == [8, 22]


def test_finished_runs_are_kept_and_seeds_come_one_after_another(tmp_path, trained, caplog):
    caplog.set_level(logging.INFO)
    first = ablation(tmp_path / "out", ["cmcc"], [1])
    assert len(trained) == 5 and "5 runs, of which 0 are finished" in caplog.text
    assert f"about {5 * SETTINGS['resnet18'].seconds / 3600:.1f} hours" in caplog.text
    caplog.clear()
    text = ablation(tmp_path / "out", ["cmcc"])
    assert len(trained) == 15 and "15 runs, of which 5 are finished" in caplog.text
    assert [str(folder)[-1] for folder in trained] == ["1"] * 5 + ["2"] * 5 + ["3"] * 5
    assert first != text and "## Form and scale" in text and "mAP against id+wrt+cmcc [95 % over seeds]" in text
    assert (tmp_path / "out/ablation.md").read_text() == text
    assert json.loads((tmp_path / "out/cmcc.json").read_text())["seeds"] == [1, 2, 3]
    assert (tmp_path / "out/cmcc.png").is_file()


def test_runs_of_a_changed_configuration_are_not_mixed_in(tmp_path, trained, monkeypatch):
    ablation(tmp_path / "out", ["cmcc"], [1])
    changed = SETTINGS["resnet18"]._replace(words=f"{SETTINGS['resnet18'].words} train.lr 0.5")
    monkeypatch.setitem(SETTINGS, "resnet18", changed)
    with pytest.raises(ValueError, match=r"seed_1 holds a run with a different train.lr"):
        ablation(tmp_path / "out", ["cmcc"])
    assert len(trained) == 5
    with pytest.raises(ValueError, match="duplicate seeds 1, 1"):
        ablation(tmp_path / "out", ["cmcc"], [1, 1])


def test_a_failed_run_is_reported_and_the_others_continue(tmp_path, trained, monkeypatch):
    whole = compare_module.resume_or_skip

    def fails(cfg, folder):
        if not cfg.loss.mso.weight_cmcc:
            raise RuntimeError("no memory")
        return whole(cfg, folder)

    monkeypatch.setattr(compare_module, "resume_or_skip", fails)
    text = ablation(tmp_path / "out", ["cmcc"], [1])
    assert "id+wrt, seed 1 failed: RuntimeError: no memory" in text and len(trained) == 4


def test_a_starting_point_is_trained_once(tmp_path, monkeypatch):
    asked = []

    def resume_or_skip(cfg, folder):
        asked.append(cfg)
        path = folder / f"model/model.pth.tar-{cfg.train.max_epoch}"
        path.parent.mkdir(parents=True)
        path.touch()

    monkeypatch.setattr(ingredients, "resume_or_skip", resume_or_skip)
    for name in ("others", "hard_others"):
        monkeypatch.setitem(ingredients.DATA, name, ("sysu_mm01", lambda root, name=name: root / name))
    for name in reversed(STARTS):  # those that continue from another start come first
        path = ingredients.starting_point(name, tmp_path)
        assert path == ingredients.starting_point(name, tmp_path) and path.is_file()
    assert sorted(cfg.model.name for cfg in asked) == sorted(start.model for start in STARTS.values())
    assert {(cfg.loss.name, cfg.model.pretrained) for cfg in asked} == {("softmax", False)}
    from_others = {Path(cfg.data.root).name: cfg.model.load_weights for cfg in asked if cfg.model.name == "resnet18"}
    assert from_others["others"] == ""
    assert from_others["hard_others"] == str(tmp_path / "starts/resnet18/model/model.pth.tar-24")


def test_fewer_people_keep_the_test(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "hard", PRESETS["hard"]._replace(num_ids=20))
    monkeypatch.setattr(ingredients, "NUM_FEWER", 4)
    fewer = ingredients.hard_200(tmp_path)
    assert fewer == ingredients.hard_200(tmp_path)  # a second time, nothing is written
    whole = RGBIRSynthetic(str(tmp_path))
    own = SYSUMM01(str(fewer))
    assert (own.num_train_pids, whole.num_train_pids) == (4, 16)
    assert [item.pid for item in own.gallery] == [item.pid for item in whole.gallery]
    assert {Path(item.impath).parts[-3:] for item in own.train} < {Path(item.impath).parts[-3:] for item in whole.train}


def test_a_question_about_schedules_draws_curves(tmp_path, trained, monkeypatch):
    seen = []
    curves = {"Train/loss": {9: 5.0, 19: 3.0}, "Test/sysu_mm01/mAP": {5: 0.2, 10: 0.5}}
    monkeypatch.setattr("torchreid_rgbir.visual.curves.read_curves", lambda folder: seen.append(folder) or curves)
    ablation(tmp_path / "out", ["schedule"], [1, 2])
    assert len(seen) == 2 * len(QUESTIONS["schedule"].methods)
    assert (tmp_path / "out/schedule-curves.png").is_file()
