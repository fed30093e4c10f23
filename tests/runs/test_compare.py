import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.whole_runs import IDS, finished, results
from torchreid_rgbir import config, host
from torchreid_rgbir.cli import main
from torchreid_rgbir.metrics import load_queries, paired_bootstrap
from torchreid_rgbir.runs import compare as compare_module
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.compare import METHODS, compare, configure, summary
from torchreid_rgbir.synthetic.write import synthesize
from torchreid_rgbir.visual.comparison import draw_comparison

METHODS_TRIED = ["mso", "id", "osnet_x0_25:triplet", "resnet18:softmax"]


def test_each_method_changes_its_losses_or_its_model_alone():
    cfg = config.load("mso_sysu")
    assert configure(cfg, "mso") == cfg
    weights = {method: {w for w, v in configure(cfg, method).loss.mso.items() if v} for method in METHODS[:5]}
    assert weights["id"] == {"weight_id"}
    assert weights["id+wrt"] == {"weight_id", "weight_wrt"}
    assert weights["id+wrt+pef"] == {"weight_id", "weight_wrt", "weight_pef"}
    assert weights["id+wrt+cmcc"] == {"weight_id", "weight_wrt", "weight_cmcc"}
    assert METHODS[:5] == ("mso", *list(weights)[1:])
    baseline = configure(cfg, "resnet50:triplet")
    assert (baseline.model.name, baseline.loss.name) == ("resnet50", "triplet")
    assert config.differences(baseline, cfg) == ["model.name", "loss.name"]


@pytest.mark.parametrize("method", METHODS[1:5])
def test_an_ablation_switches_every_other_loss_off(method):
    every = [word for weight in config.defaults().loss.mso for word in (f"loss.mso.{weight}", "0.5")]
    cfg = config.override(config.load("mso_sysu"), every)
    kept = {name.removeprefix("weight_"): weight for name, weight in configure(cfg, method).loss.mso.items() if weight}
    assert kept == dict.fromkeys(method.split("+"), 0.5)
    assert len(cfg.loss.mso) > len(kept) and configure(cfg, "mso") == cfg


def test_an_ablation_of_a_recipe_that_lacks_the_loss():
    with pytest.raises(ValueError, match="method id.wrt.pef: loss.mso.weight_pef is 0 in this configuration"):
        configure(config.load("agw_sysu"), "id+wrt+pef")
    own = configure(config.load("agw_sysu"), "id+wrt+pef loss.mso.weight_pef 1 loss.pef.weights random")
    assert own.loss.mso.weight_pef == 1.0


def test_a_method_with_settings_of_its_own():
    cfg = config.load("mso_sysu")
    found = configure(cfg, "id+wrt+cmcc loss.cmcc.form ratio loss.cmcc.normalize False")
    assert config.differences(found, cfg) == ["loss.mso.weight_pef", "loss.cmcc.form", "loss.cmcc.normalize"]
    assert (found.loss.cmcc.form, found.loss.cmcc.normalize) == ("ratio", False)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("mso loss.cmcc.forn ratio", "did you mean loss.cmcc.form"),
        ("mso loss.cmcc.form", "come in pairs"),
        ("wrt", "method wrt is unknown: choose mso, id"),
        ("resnet51:softmax", "model.name resnet51 is unknown: choose .* such as resnet50"),
        ("resnet50:mso", "resnet50 has one stream"),
        ("resnet50:center", "loss.name is 'center'"),
        ("dual_resnet18:softmax", "set loss.name mso for dual_resnet18"),
    ],
)
def test_unknown_methods_are_found_before_any_run(tmp_path, method, message):
    with pytest.raises(ValueError, match=message):
        compare(config.load("quickstart"), ["mso", method], [1], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_seed_or_a_folder_that_cannot_be_is_found_before_any_run(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file: choose a folder"):
        compare(config.load("quickstart"), ["mso"], [1], tmp_path / "file")
    with pytest.raises(ValueError, match="train.seed is -1"):
        compare(config.load("quickstart"), ["mso"], [1, -1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("methods", "seeds", "message"),
    [
        (["mso", "mso"], [1], "duplicate methods mso, mso: list each only once"),
        (["mso"], [1, 1], "duplicate seeds 1, 1: list each only once"),
        ([], [1], "the list of methods is empty: give at least one method"),
        (["mso"], [], "the list of seeds is empty: give at least one seed"),
    ],
)
def test_each_method_and_seed_is_listed_once(tmp_path, methods, seeds, message):
    with pytest.raises(ValueError, match=message):
        compare(config.load("quickstart"), methods, seeds, tmp_path)


def test_the_picture_shows_every_method_that_finished(tmp_path):
    found = summary({"mso": {1: results(0.9)}, "id": {1: results(0.2)}, "x": {1: {"error": "no"}}}) | {"dataset": "d"}
    picture = Image.open(draw_comparison(found, tmp_path / "plot.png"))
    blue = (np.asarray(picture) == (59, 111, 182)).all(axis=2).sum(axis=1)
    lengths = sorted(set(blue.tolist()) - {0})
    assert max(lengths) > 4 * min(lengths)
    assert picture.height == 4 * 44


def test_a_long_name_is_not_cut_off(tmp_path):
    name = "mso train.lr_scheduler warmup_multi_step train.warmup_epoch 10 train.lr 0.005"
    pictures = []
    for method in ("mso", name):
        found = summary({method: {1: results(0.4)}}) | {"dataset": "sysu_mm01"}
        pictures.append(np.asarray(Image.open(draw_comparison(found, tmp_path / "plot.png"))))
    short, long = pictures
    assert long.shape[1] > short.shape[1] + 300
    assert (long[44:88, :20] == 255).all()  # the margin left of the name


def test_runs_are_made_once_and_a_failure_stops_nothing(tiny_cfg, tmp_path, monkeypatch, capsys):
    (tmp_path / "cfg.yaml").write_text(config.override(tiny_cfg, ["train.max_epoch", "1"]).dump())
    command = [
        "compare",
        "--seeds",
        "1",
        "2",
        "--out",
        str(tmp_path / "out"),
        "--config-file",
        str(tmp_path / "cfg.yaml"),
    ]
    command[1:1] = ["--methods", *METHODS_TRIED]
    real = compare_module.resume_or_skip

    def failing(cfg, folder):
        if "resnet18" in str(folder) and cfg.train.seed == 2:
            raise RuntimeError("out of memory")
        return real(cfg, folder)

    monkeypatch.setattr(compare_module, "resume_or_skip", failing)
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "| osnet_x0_25:triplet |" in out and "resnet18:softmax, seed 2 failed: RuntimeError: out of memory" in out
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("results.json")}
    assert len(made) == len(list((tmp_path / "out").rglob("queries.csv"))) == 7
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["method"] for row in found["methods"]] == METHODS_TRIED
    for row in found["methods"][1:]:
        interval = row["difference_over_identities"]
        assert interval["low"] < interval["mAP"] < interval["high"]
        assert interval["mAP"] == pytest.approx(row["difference"]["mAP"])
        assert interval["num_ids"] == 4
    assert "mAP against mso [95 % over seeds] | [95 % over 4 identities] | runs |" in out
    assert (tmp_path / "out" / "compare.png").is_file() and (tmp_path / "out" / "compare.md").read_text() in out
    for row in found["methods"]:
        for run in row["runs"]:
            path = tmp_path / "out" / row["method"].replace(":", "-") / f"seed_{run['seed']}" / "results.json"
            if "mean" in run:
                assert json.loads(path.read_text())["settings"][0]["mean"] == run["mean"]

    # Runs of a version without the key: they are not repeated, and have no interval over identities.
    monkeypatch.setattr(compare_module, "resume_or_skip", real)
    for folder in (tmp_path / "out" / "id").iterdir():
        (folder / "queries.csv").unlink()
        text = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(text.replace("  save_features: true\n", ""))
        assert (folder / "config.yaml").read_text() != text
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    again = json.loads((tmp_path / "out" / "compare.json").read_text())["methods"]
    assert ["difference_over_identities" in row for row in again] == [False, False, True, True]
    assert again[1]["difference"] == found["methods"][1]["difference"]
    before = (tmp_path / "out" / "compare.json").read_bytes()
    assert main([*command, "train.lr", "0.5"]) == 2
    assert "holds a run with a different train.lr" in capsys.readouterr().err
    assert (tmp_path / "out" / "compare.json").read_bytes() == before


def test_several_targets_have_a_table_each(fast_cfg, sysu_root, tmp_path, capsys):
    """Trained on the union of two sets, tested on both: results and tables of each, and a second call repeats nothing."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "SYSU-MM01").symlink_to(sysu_root)
    synthesize("regdb", tmp_path / "data" / "RegDB", num_ids=10, images_per_camera=2, size=(16, 32), workers=1)
    (tmp_path / "cfg.yaml").write_text(config.override(fast_cfg, ["train.max_epoch", "1"]).dump())
    command = ["compare", "--methods", "mso", "id", "--out", str(tmp_path / "out")]
    command += [
        "--config-file",
        str(tmp_path / "cfg.yaml"),
        "-s",
        "sysu_mm01",
        "regdb",
        "--root",
        str(tmp_path / "data"),
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    for name, direction in (("sysu_mm01", "all-search"), ("regdb", "thermal->visible")):
        found = json.loads((tmp_path / "out" / f"compare-{name}.json").read_text())
        assert found["dataset"] == name and found["setting"].startswith(direction)
        for row in found["methods"]:
            path = tmp_path / "out" / row["method"] / "seed_1" / f"results-{name}.json"
            assert json.loads(path.read_text())["settings"][0]["mean"] == row["runs"][0]["mean"]
        assert (tmp_path / "out" / f"compare-{name}.md").read_text() in out
        assert (tmp_path / "out" / f"compare-{name}.png").is_file()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("results-*.json")}
    assert len(made) == 4 and main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_a_baselines_step_is_torchreids_own(tiny_cfg):
    """The same batch through torchreid's engine, data in torchreid's form, gives the same weights to the last bit."""
    cfg = config.override(tiny_cfg, ["model.name", "resnet18", "loss.name", "triplet", "train.optim", "sgd"])
    host.utils.set_random_seed(1)
    engine = build_engine(cfg)
    host.utils.set_random_seed(1)
    model = host.models.build_model("resnet18", 16, loss="triplet", pretrained=False)
    optimizer = host.optim.build_optimizer(model, optim="sgd", lr=cfg.train.lr)
    engine.optimizer.load_state_dict(optimizer.state_dict())
    data = SimpleNamespace(train_loader=None, test_loader=None, num_train_pids=engine.datamanager.num_train_pids)
    theirs = host.engine.ImageTripletEngine(data, model, optimizer, use_gpu=False, label_smooth=False)
    data = next(iter(engine.train_loader))
    transforms = engine.datamanager.transforms
    images = transforms.normalize(transforms.augment(data["img"], 8, 0, 0)).contiguous()
    for one in (engine, theirs):
        one.set_model_mode("train")
    engine.epoch = engine.batch_idx = 0
    ours, _ = engine.forward_backward(data)
    expected = theirs.forward_backward({"img": images, "pid": data["pid"]})
    assert ours["loss_t"] == pytest.approx(expected["loss_t"]) and ours["loss_x"] == pytest.approx(expected["loss_x"])
    assert ours["loss"] == pytest.approx(expected["loss_t"] + expected["loss_x"])
    for name, value in model.state_dict().items():
        assert torch.equal(engine.model.state_dict()[name], value), name


def test_finished_runs_are_compared_without_training(tmp_path, capsys):
    ap = np.random.default_rng(0).random((3, 10, 60))
    folders = [str(tmp_path / name) for name in "abc"]
    for folder, own in zip(folders, ap, strict=True):
        finished(Path(folder), own)
    before = sorted(tmp_path.rglob("*"))
    assert main(["compare", "--runs", *folders]) == 0
    out = capsys.readouterr().out
    assert "all-search, single-shot, official; one run each, measures in %" in out and "written" not in out
    assert sorted(tmp_path.rglob("*")) == before
    assert main(["compare", "--runs", *folders, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (tmp_path / "out" / "compare.md").read_text() == out[:-1] and (tmp_path / "out" / "compare.png").is_file()
    scores = [[load_queries(Path(folder, "queries.csv"))] for folder in folders]
    for row, own in zip(found["methods"][1:], scores[1:], strict=True):
        assert row["difference_over_identities"] == paired_bootstrap(own, scores[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: shutil.rmtree(b), r"b has no results.json: give the folder of a finished run"),
        (lambda b: (b / "queries.csv").unlink(), r"b/queries.csv is missing: repeat the test with test.save_features"),
        (lambda b: (b / "queries.csv").write_bytes(b"\0" * 99), r"b/queries.csv cannot be used .*: repeat the test"),
        (lambda b: (b / "results.json").write_text("{"), r"b/results.json is not JSON"),
        (lambda b: again(b, pids=IDS + 1), r"a/queries.csv and .*b/queries.csv cannot be paired, because their queries"),
        (lambda b: again(b, ap=np.full((2, 60), 0.5)), r"60 queries, number of trials 1 and 60 queries, number of trials 2"),
        (lambda b: again(b, sampling="agw"), r"a was scored in all-search, single-shot, official and .*b in .* agw: test"),
        (lambda b: again(b, dataset="llcm"), r"a was tested on sysu_mm01 and .*b was tested on llcm: compare runs"),
        (lambda b: [again(x, pids=IDS * 0) for x in (b, b.parent / "a")], r"all valid queries are of identity 0, and an"),
        (lambda b: finished(b.parent / "c", np.ones(60)) and (b.parent / "c/queries.csv").rename(b / "queries.csv"),
         r"b/queries.csv is not from the same test as the results beside it: its mAP is 1.0000, theirs is 0.5000: repeat"),
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_an_error_of_one_line(tmp_path, capsys, change, message):
    for name in "ab":
        finished(tmp_path / name, np.full(60, 0.5))
    change(tmp_path / "b")
    assert main(["compare", "--runs", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err) and printed.err.count("\n") == 1 and not printed.out


def again(folder, **changes):
    shutil.rmtree(folder)
    finished(folder, **{"ap": np.full(60, 0.5)} | changes)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "1"], "--seeds has no effect with --runs, which trains nothing: remove it"),
        (["--config-file", "quickstart"], "--config-file has no effect with --runs"),
        (["--root", "photos", "train.lr", "1"], "--root has no effect with --runs"),
        ([], "a: give the folders of two or more different runs"),
        (["--runs", "a", "a"], "runs a, a: give the folders of two or more different runs"),
    ],
)
def test_flags_that_need_a_training_are_refused_for_finished_runs(capsys, flags, message):
    assert main(["compare", "--runs", "a", *flags]) == 2
    assert message in capsys.readouterr().err
