"""End to end: the main line on a small set that lies on disk in the official layout."""

import json
import shutil
from urllib.error import URLError

import pytest
import torch

from torchreid_rgbir import config, host
from torchreid_rgbir.cli import main
from torchreid_rgbir.engine.monitor import RunningMeans
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.folder import run_folder
from torchreid_rgbir.runs.train import train


def weights_of(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def trained(tiny_cfg):
    return tiny_cfg, train(tiny_cfg)


def test_a_run_leaves_its_files(trained, tmp_path):
    cfg, engine = trained
    run = tmp_path / "run"
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {"config.yaml", "train.log", "results.json", "model/model.pth.tar-2", "model/model-best.pth.tar"} <= names
    assert any("events.out" in name for name in names)

    log = (run / "train.log").read_text()
    for word in (
        "loss_id",
        "loss_wrt",
        "loss_pef",
        "loss_cmcc",
        "acc",
        "lr",
        "an epoch is 3 batches",
        "random VGG",
        "all-search",
    ):
        assert word in log, word

    results = json.loads((run / "results.json").read_text())
    assert results["dataset"] == "sysu_mm01"
    assert (results["query"], results["gallery"], results["feature"], results["distance"]) == (
        "ir",
        "rgb",
        "bn",
        "cosine",
    )
    assert [(s["search"], s["shots"]) for s in results["settings"]] == [
        ("all", 1),
        ("all", 10),
        ("indoor", 1),
        ("indoor", 10),
    ]
    first = results["settings"][0]
    assert first["num_trials"] == len(first["trials"]) == 10
    assert first["num_queries"] == 4 * 2 * 2  # 4 identities, 2 IR cameras, 2 images
    assert first["num_gallery"] == 4 * 4  # one image of each identity and RGB camera
    assert 0 < first["mean"]["mAP"] <= 1
    assert results["checkpoint"] == str(run / "model" / "model.pth.tar-2")
    assert results["chosen"] == "last epoch"
    assert results["versions"]["torch"] == torch.__version__


def test_the_checkpoint_has_torchreids_keys_and_describes_its_model(trained, tmp_path):
    _, engine = trained
    path = tmp_path / "run" / "model" / "model.pth.tar-2"
    state = torch.load(path, weights_only=True)
    assert {"state_dict", "epoch", "rank1", "optimizer", "scheduler"} <= state.keys()
    assert state["epoch"] == 2 and isinstance(state["rank1"], float)
    assert state["about"]["model"] == {"name": "dual_resnet18", "num_classes": 16, "last_stride": 2}
    assert state["about"]["images"]["height"] == 64
    assert not [key for key in state["state_dict"] if "vgg" in key or "pef" in key]
    model = host.models.build_model("dual_resnet18", 16, loss="softmax", pretrained=False)
    host.utils.load_pretrained_weights(model, str(path))  # torchreid's own reader
    assert torch.equal(model.state_dict()["layer1.0.conv1.weight"], state["state_dict"]["layer1.0.conv1.weight"])


def test_testing_alone_gives_the_same_numbers(trained, tmp_path, capsys):
    cfg, engine = trained
    run = tmp_path / "run"
    again = [
        "test",
        "--config-file",
        str(run / "config.yaml"),
        "--root",
        cfg.data.root,
        "data.save_dir",
        str(tmp_path / "test"),
    ]
    assert main([*again, "model.load_weights", str(run / "model" / "model.pth.tar-2")]) == 0
    one, two = (json.loads((folder / "results.json").read_text()) for folder in (run, tmp_path / "test"))
    assert one["settings"] == two["settings"]
    assert "all-search" in (tmp_path / "test" / "test.log").read_text()
    assert "all-search" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_run_to_the_last_bit(tiny_cfg, tmp_path):
    runs = []
    for name, workers in (("one", 0), ("two", 2)):
        cfg = config.override(tiny_cfg.clone(), ["data.save_dir", str(tmp_path / name), "data.workers", str(workers)])
        runs.append((train(cfg).results, weights_of(tmp_path / name / "model" / "model.pth.tar-2")))
    (results, weights), (again, weights_again) = runs
    assert results["sysu_mm01"]["settings"] == again["sysu_mm01"]["settings"]
    assert all(torch.equal(weights[key], weights_again[key]) for key in weights)


def test_another_seed_gives_another_run(tiny_cfg, tmp_path):
    train(tiny_cfg)
    other = config.override(tiny_cfg.clone(), ["data.save_dir", str(tmp_path / "other"), "train.seed", "2"])
    train(other)
    one, two = (weights_of(tmp_path / name / "model" / "model.pth.tar-2") for name in ("run", "other"))
    assert not torch.equal(one["layer1.0.conv1.weight"], two["layer1.0.conv1.weight"])


def test_the_loss_falls(tiny_cfg):
    """On a handful of images, without augmentation, any network that trains at all learns them."""
    cfg = config.override(
        tiny_cfg,
        ["data.transforms", "[]", "sampler.batches_per_epoch", "8", "train.max_epoch", "6", "train.lr", "0.001"],
    )
    engine = build_engine(cfg)
    engine.max_epoch = cfg.train.max_epoch
    means = []
    for engine.epoch in range(cfg.train.max_epoch):
        engine.batches_done, engine.means = 0, RunningMeans()
        means.append(engine.train(print_freq=8))
        engine.update_lr()
    assert means[-1]["loss"] < 0.8 * means[0]["loss"]
    assert means[-1]["loss_id"] < means[0]["loss_id"]
    assert means[-1]["acc"] > means[0]["acc"]


def test_training_ends_once_the_loss_meets_the_target(tiny_cfg, tmp_path):
    engine = train(config.override(tiny_cfg, ["train.max_epoch", "50", "train.target_loss", "1000"]))
    assert engine.checkpoint_path.endswith("model.pth.tar-1")
    assert json.loads((tmp_path / "run" / "results.json").read_text())["settings"]
    assert "is not above the target 1000" in (tmp_path / "run" / "train.log").read_text()


def test_the_model_of_the_best_map_is_kept(tiny_cfg, tmp_path, monkeypatch):
    scores = iter([0.6, 0.35, 0.4])

    def score(*args, **kwargs):
        mean = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mAP", "mINP"), 0.5) | {"mAP": next(scores)}
        return [dict(search="all", shots=1, sampling="official", num_trials=1, num_queries=1, num_valid_queries=1, num_gallery=1)
                | {"mean": mean, "std": mean, "trials": [mean]}]  # fmt: skip

    monkeypatch.setattr("torchreid_rgbir.protocols.SYSUMM01Protocol.score", score)
    train(config.override(tiny_cfg, ["train.max_epoch", "3", "test.eval_freq", "1", "sampler.batches_per_epoch", "1"]))
    best = torch.load(tmp_path / "run" / "model" / "model-best.pth.tar", weights_only=True)
    last = torch.load(tmp_path / "run" / "model" / "model.pth.tar-3", weights_only=True)
    assert (best["epoch"], best["mAP"]) == (1, 0.6)
    assert (last["epoch"], last["mAP"], last["best_mAP"]) == (3, 0.4, 0.6)
    for name, chosen in (
        ("model-best.pth.tar", "best mAP of all tests, a choice made on test data"),
        ("model.pth.tar-3", "given"),
    ):
        scores = iter([0.5])
        words = ["test.evaluate", "True", "model.load_weights", str(tmp_path / "run" / "model" / name)]
        train(config.override(tiny_cfg.clone(), words))
        assert json.loads((tmp_path / "run" / "test-results.json").read_text())["chosen"] == chosen


def test_a_resumed_run_ends_as_the_uninterrupted_one(tiny_cfg, tmp_path):
    train(tiny_cfg)
    first = config.override(tiny_cfg.clone(), ["data.save_dir", str(tmp_path / "first"), "test.eval_freq", "1"])
    train(first)
    second = config.override(
        tiny_cfg.clone(),
        ["data.save_dir", str(tmp_path / "second"), "model.resume", str(tmp_path / "first/model/model.pth.tar-1")],
    )
    train(second)
    one, two = (weights_of(tmp_path / name / "model" / "model.pth.tar-2") for name in ("run", "second"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_loss_that_is_not_finite_stops_the_run_without_a_checkpoint(tiny_cfg, tmp_path):
    with pytest.raises(ValueError, match=r"is (nan|inf).* in epoch 1.*Lower train.lr"):
        train(config.override(tiny_cfg, ["train.lr", "1e30", "train.lr_scheduler", "multi_step"]))
    assert not list((tmp_path / "run" / "model").glob("*"))


def test_only_the_classifier_is_trained_while_the_base_is_fixed(tiny_cfg, tmp_path):
    host.utils.set_random_seed(tiny_cfg.train.seed)
    before = {key: value.clone() for key, value in build_engine(tiny_cfg).model.state_dict().items()}
    train(config.override(tiny_cfg, ["train.fixbase_epoch", "2"]))
    after = weights_of(tmp_path / "run" / "model" / "model.pth.tar-2")
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed == {"classifier.weight"}


def test_images_of_ranked_results(trained, tmp_path):
    cfg, _ = trained
    weights = str(tmp_path / "run" / "model" / "model.pth.tar-2")
    shown = config.override(
        cfg.clone(),
        ["test.evaluate", "True", "test.visrank", "True", "test.visrank_topk", "5", "model.load_weights", weights],
    )
    train(config.override(shown, ["data.save_dir", str(tmp_path / "shown")]))
    assert (tmp_path / "shown" / "visrank_sysu_mm01" / "ranked.png").stat().st_size > 1000


class NoSync(torch.utils._python_dispatch.TorchDispatchMode):
    """Records what makes Python wait for a GPU: reading a tensor's value, or a shape that depends on one."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "item", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        boolean_index = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool
            for i in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ())
        )
        if name in self.WAITS or boolean_index:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("entry", ["image", "conv2"])
def test_nothing_in_a_training_step_waits_for_the_device(tiny_cfg, entry, monkeypatch):
    cfg = config.override(tiny_cfg, ["loss.pef.entry", entry])
    # Adam's step counters are on the CPU and are read there. SGD has none.
    engine = build_engine(config.override(cfg, ["train.optim", "sgd"]))
    engine.set_model_mode("train")
    data = next(iter(engine.train_loader))
    engine.batch_idx = 0
    for method in ("cpu", "item", "tolist", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(
            torch.Tensor, method, lambda self, *args, name=method: pytest.fail(f"{name} in the step"), raising=False
        )
    with NoSync() as guard:
        engine.forward_backward(data)
    assert guard.seen == []


@pytest.mark.parametrize("has_gpu", [False, True])
def test_cudnn_searches_for_the_fastest_algorithms_on_a_gpu(tiny_cfg, monkeypatch, has_gpu):
    def build(cfg):  # which reads the data
        raise NotImplementedError(f"benchmark {torch.backends.cudnn.benchmark}")

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr("torchreid_rgbir.runs.train.build_engine", build)
    with pytest.raises(NotImplementedError, match=f"benchmark {has_gpu}"):
        train(tiny_cfg)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.root", "nowhere"], "is not a folder: set data.root"),
        (["train.batch_size", "18"], "is not P x 2K: set it to a multiple of 4"),
        (["train.batch_size", "160"], "a batch needs 40 identities, but only 16"),
        (["data.sources", "nosuchset"], "nosuchset"),
        (["data.transforms", "[blur]"], "unknown transform 'blur'"),
        (["model.pretrained", "True"], "resnet18"),
        (["train.max_epoch", "two"], "train.max_epoch is 'two'"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(tiny_cfg, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(
        "torch.hub.download_url_to_file", lambda *args, **kwargs: (_ for _ in ()).throw(URLError("no network"))
    )
    (tmp_path / "cfg.yaml").write_text(tiny_cfg.dump())
    assert main(["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", tiny_cfg.data.root, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1, error
    assert not (tmp_path / "run").exists()


def test_an_image_that_cannot_be_read_is_named(tiny_cfg, sysu_root, tmp_path, capsys):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    for camera in range(1, 7):
        for path in (tmp_path / "SYSU-MM01" / f"cam{camera}").rglob("*.jpg"):
            path.write_bytes(b"")
    for workers in ("0", "1"):
        (tmp_path / "cfg.yaml").write_text(tiny_cfg.dump())
        assert (
            main(
                ["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", str(tmp_path), "data.workers", workers]
            )
            == 2
        )
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert ".jpg cannot be read" in error


def test_run_log_keeps_what_came_before_it_was_opened(tmp_path, capsys):
    with run_folder(tmp_path, "train.log") as folder:
        print("early")
        folder.open()
        print("late")
    assert (tmp_path / "train.log").read_text() == "early\nlate\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["test.feature", "pooled"], "pooled features; "),
        (["test.flip", "True"], "bn features, flip test; "),
    ],
)
def test_another_feature_gives_other_numbers_and_is_named(trained, tmp_path, words, named):
    cfg, engine = trained
    weights = str(tmp_path / "run" / "model" / "model.pth.tar-2")
    other = config.override(cfg.clone(), ["test.evaluate", "True", "model.load_weights", weights, *words])
    again = train(config.override(other, ["data.save_dir", str(tmp_path / "other")]))
    results = json.loads((tmp_path / "other" / "results.json").read_text())
    assert (results["feature"], results["flip"]) == (other.test.feature, other.test.flip)
    assert results["normalize_feature"] == other.test.normalize_feature
    assert results["settings"][0]["mean"] != engine.results["sysu_mm01"]["settings"][0]["mean"]
    assert again.features["sysu_mm01"].features.shape == engine.features["sysu_mm01"].features.shape
    assert named in (tmp_path / "other" / "results.md").read_text()


def test_re_ranking_adds_rows_and_changes_none(tiny_cfg, tmp_path):
    cfg = config.override(
        tiny_cfg, ["test.rerank", "True", "test.rerank_settings", "[3, 2, 0.3]", "test.eval_freq", "1"]
    )
    settings = train(cfg).results["sysu_mm01"]["settings"]
    assert [setting.get("rerank") for setting in settings] == [None] * 4 + [{"k1": 3, "k2": 2, "lambda": 0.3}] * 4
    assert "re-ranked (3, 2, 0.3)" in (tmp_path / "run" / "results.md").read_text()
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("indoor-search, multi-shot, official, re-ranked") == 1  # not in the test after the first epoch


def test_a_missing_permutation_file_is_found_before_training(tiny_cfg, sysu_root, tmp_path):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    (tmp_path / "SYSU-MM01" / "exp" / "rand_perm_cam.mat").unlink()
    cfg = config.override(tiny_cfg, ["data.root", str(tmp_path)])
    with pytest.raises(FileNotFoundError, match=r"rand_perm_cam.mat is missing.*choose the sampling agw"):
        train(cfg)
    assert not (tmp_path / "run").exists()
    train(config.override(cfg, ["test.sampling", "agw", "train.max_epoch", "1"]))
    assert "all-search, single-shot, agw" in (tmp_path / "run" / "results.md").read_text()
