"""torchreid's own scripts and tools with the plugin, on both distributions; each run is a process of its own, as users have it."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.layouts import REPOSITORY, make_checkout, python
from torchreid_rgbir import cli, config, distributed, host
from torchreid_rgbir.integration.patched_classes import without_data_parallel

SCRIPT = REPOSITORY / "tests" / "upstream" / "main.py"
SMALL = "data.height 64 data.width 32 data.workers 0 train.max_epoch 2 train.batch_size 16 sampler.num_instances 2 model.pretrained False"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(params=["pypi", "checkout"])
def layout(request):
    return None if request.param == "pypi" else request.getfixturevalue("checkout")


@pytest.fixture(scope="session")
def market_root(tmp_path_factory):
    """Market-1501's layout: 6 identities for training and 6 for testing, 2 cameras, 3 images each."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("market")
    for folder, pids in {
        "bounding_box_train": range(1, 7),
        "query": range(7, 13),
        "bounding_box_test": range(7, 13),
    }.items():
        where = root / "market1501" / "Market-1501-v15.09.15" / folder
        where.mkdir(parents=True)
        for pid in pids:
            for camid in (1, 2):
                for number in range(3):
                    pixels = rng.integers(0, 256, (64, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(where / f"{pid:04d}_c{camid}s1_{number:06d}_00.jpg")
    return root


def run_script(root, cwd, layout, words: str, sources="sysu_mm01", settings=()):
    chosen = [word for pair in settings for word in ("--set", *pair)]
    flags = ["-s", *sources.split(), "-t", *sources.split(), "--root", root, *SMALL.split(), *words.split()]
    return python(["-m", "torchreid_rgbir", "run", *chosen, SCRIPT, *flags], cwd, layout)


METHOD = "model.name dual_resnet18 loss.name mso data.save_dir log"
PLUGIN = (("loss.pef.weights", "random"), ("sampler.batches_per_epoch", "2"), ("train.warmup_epoch", "2"))


def test_the_script_trains_resumes_and_tests(sysu_root, tmp_path, layout):
    schedule = "train.lr_scheduler warmup_multi_step train.stepsize [20,25] train.lr 0.01 "
    run = run_script(sysu_root, tmp_path, layout, METHOD + " " + schedule, settings=PLUGIN)
    assert run.returncode == 0, run.stderr
    for part in ("loss_id", "loss_wrt", "loss_pef", "loss_cmcc"):
        assert part in run.stdout
    # The first epoch of two has a tenth of the learning rate, the second all of it.
    assert "epoch 1/2 batch 2/2" in run.stdout and "lr 0.001 " in run.stdout
    trained = json.loads((tmp_path / "log" / "results.json").read_text())
    checkpoint = tmp_path / "log" / "model" / "model.pth.tar-2"
    assert len(trained["settings"]) == 4 and trained["checkpoint"].endswith("model.pth.tar-2")

    resume = f"{METHOD} {schedule} train.max_epoch 3 model.resume {checkpoint}"
    run = run_script(sysu_root, tmp_path, layout, resume, settings=PLUGIN)
    assert run.returncode == 0, run.stderr
    assert "epoch 3/3" in run.stdout and "epoch 2/3" not in run.stdout

    words = f"{METHOD} data.save_dir test test.evaluate True test.visrank True test.rerank True model.load_weights {checkpoint}"
    run = run_script(sysu_root, tmp_path, layout, words)
    assert run.returncode == 0, run.stderr
    tested = json.loads((tmp_path / "test" / "results.json").read_text())
    assert [s for s in tested["settings"] if not s.get("rerank")] == trained["settings"]
    assert len(tested["settings"]) == 8
    assert Image.open(tmp_path / "test" / "visrank_sysu_mm01" / "ranked.png").width > 300


METHOD_18 = "model.name dual_resnet18 loss.name mso"
MISTAKES = [
    ("model.name dual_resnet18 loss.name softmax", "sysu_mm01", "loss.name is softmax, but dual_resnet18 is trained with mso"),
    ("model.name dual_resnet18 loss.name triplet", "sysu_mm01", "loss.name is triplet, but dual_resnet18 is trained with mso"),
    ("model.name dual_resnet18 loss.name center", "sysu_mm01", "loss 'center' is unknown"),
    ("model.name resnet18 loss.name triplet", "sysu_mm01", "ResNet takes images of one modality, but sysu_mm01 has two"),
    (METHOD_18, "market1501", "dual_resnet18 needs RGB and IR images, but market1501 has images of one modality"),
    (f"{METHOD_18} data.type video", "sysu_mm01", "data.type is video, but sysu_mm01 has images"),
    (METHOD_18, "sysu_mm01 sysu_mm01", "data.sources lists sysu_mm01 twice"),
    (METHOD_18, "sysu_mm01 market1501", "market1501 has images of one modality"),
    (f"{METHOD_18} data.k_tfm 2", "sysu_mm01", "data.k_tfm above 1"),
    (f"{METHOD_18} test.visrank True", "sysu_mm01", "test.visrank draws"),
    (f"{METHOD_18} loss.triplet.weight_t 2.0", "sysu_mm01", "loss.triplet.weight_t 2 and weight_x 0 have no effect"),
    (f"{METHOD_18} loss.triplet.weight_x 0.5", "sysu_mm01", "loss.triplet.weight_t 1 and weight_x 0.5 have no effect"),
    (f"{METHOD_18} test.ranks [1,5]", "sysu_mm01", "test.ranks and cuhk03.use_metric_cuhk03 have no effect"),
    (f"{METHOD_18} cuhk03.use_metric_cuhk03 True", "sysu_mm01", "test.ranks and cuhk03.use_metric_cuhk03 have no effect"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistakes(sysu_root, market_root, tmp_path_factory):
    """(exit status, last line, files left) of each; all of them in one process, since most of a run is importing."""
    cwd = tmp_path_factory.mktemp("mistakes")
    commands = []
    for words, sources, _ in MISTAKES:
        root = market_root if sources == "market1501" else sysu_root
        flags = ["-s", *sources.split(), "-t", *sources.split(), "--root", str(root), *SMALL.split(), *words.split()]
        commands.append(["run", "--set", "loss.pef.weights", "random", str(SCRIPT), *flags])
    code = f"""
import contextlib, io, json, pathlib, sys
from torchreid_rgbir.cli import main
found = []
for number, words in enumerate({commands!r}):
    sys.stdout = io.StringIO()  # torchreid's Logger closes what it was given
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        status = main([*words, "data.save_dir", "run" + str(number)])
    left = [path.name for path in pathlib.Path("run" + str(number)).rglob("*") if path.is_file() and path.name != "train.log"]
    found.append((status, errors.getvalue().splitlines()[-1], left))
pathlib.Path("found.json").write_text(json.dumps(found))
"""
    run = python(["-c", code], cwd)
    assert run.returncode == 0, run.stderr
    return json.loads((cwd / "found.json").read_text())


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes_end_in_one_line_before_training(mistakes, number):
    status, line, left = mistakes[number]
    assert status == 2 and MISTAKES[number][2] in line and not left


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch.py"], "nosuch.py is missing: give the path of a script"),
        (["--set", "train.lr", "0.1", str(SCRIPT)], "train.lr is torchreid's own key: pass it after the script's name"),
        (
            ["--set", "data.k_tfm", "2", str(SCRIPT)],
            "data.k_tfm is torchreid's own key: pass it after the script's name",
        ),
        (["--set", "train.gather_features", "True", str(SCRIPT)], "train.gather_features needs several processes"),
        (["--config", "nosuch", str(SCRIPT)], "no configuration nosuch"),
        (["--set", "loss.mso.weight_pfe", "0.1", str(SCRIPT)], "did you mean loss.mso.weight_pef?"),
        (["--set", "loss.mso.weight_pef", "-1", str(SCRIPT)], "loss.mso.weight_pef is -1.0: it must be 0 or more"),
    ],
)
def test_mistakes_in_the_flags_of_run(capsys, words, message):
    assert cli.main(["run", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_run_on_one_modality_is_the_same_with_and_without_the_plugin(market_root, tmp_path, checkout):
    sampler = (
        "loss.name triplet sampler.train_sampler RandomIdentitySampler loss.triplet.weight_x 1.0 train.batch_size 8"
    )
    flags = [
        "-s",
        "market1501",
        "-t",
        "market1501",
        "--root",
        market_root,
        *SMALL.split(),
        "model.name",
        "osnet_x0_25",
    ]
    flags += sampler.split()
    runs = {
        "plain": [SCRIPT],
        "imported": ["-c", "import sys, runpy, torchreid_rgbir; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')", SCRIPT],
        "installed": ["-m", "torchreid_rgbir", "run", SCRIPT],
    }  # fmt: skip
    states = {}
    for name, words in runs.items():
        if name == "imported":  # `python -c` leaves the script's folder off the path
            words = [words[0], f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); {words[1]}", *words[2:]]
        run = python([*words, *flags, "data.save_dir", name], tmp_path, checkout)
        assert run.returncode == 0, run.stderr
        # A stock engine's file, which holds a numpy scalar.
        states[name] = torch.load(tmp_path / name / "model" / "model.pth.tar-2", weights_only=True)["state_dict"]
    assert not [key for key in states["plain"] if not torch.equal(states["plain"][key], states["imported"][key])]
    assert not [key for key in states["plain"] if not torch.equal(states["plain"][key], states["installed"][key])]


@pytest.mark.slow
def test_the_script_trains_on_two_processes(sysu_root, tmp_path):
    settings = [("train.gather_features", "True"), ("train.sync_batchnorm", "True"), *PLUGIN[:2]]
    words = [word for pair in settings for word in ("--set", *pair)]
    flags = ["-s", "sysu_mm01", "-t", "sysu_mm01", "--root", sysu_root, *SMALL.split(), *METHOD.split()]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "torchreid_rgbir", "run"]
    run = python([*torchrun, *words, SCRIPT, *flags], tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("epoch 2/2 batch 2/2") == 1
    log = (tmp_path / "log" / "train.log").read_text()
    assert log.count("epoch 2/2 batch 2/2") == 1 and (tmp_path / "log" / "results.json").is_file()


def test_classes_keep_their_identity(tmp_path, layout):
    code = """
import inspect
import torchreid_rgbir
from torchreid_rgbir import host
before = host.data.ImageDataManager, host.engine.ImageTripletEngine, inspect.signature(host.data.ImageDataManager)
torchreid_rgbir.install()
torchreid_rgbir.install(["loss.pef.entry", "conv2"])
assert before == (host.data.ImageDataManager, host.engine.ImageTripletEngine, inspect.signature(host.data.ImageDataManager))
from torchreid.data import ImageDataManager
from torchreid.engine.image import ImageTripletEngine
assert (ImageDataManager, ImageTripletEngine) == before[:2]
from torchreid_rgbir.integration.patched_classes import PatchedDataManager, PatchedEngine
assert issubclass(PatchedDataManager, ImageDataManager) and issubclass(PatchedEngine, ImageTripletEngine)
class Mine(ImageTripletEngine):
    def __init__(self):
        self.mine = True
assert type(Mine()) is Mine and Mine().mine
"""
    run = python(["-c", code], tmp_path, layout)
    assert run.returncode == 0, run.stderr


def test_python_users_get_the_subclasses(sysu_root, tmp_path, layout):
    code = f"""
import torch
import torchreid_rgbir
torchreid_rgbir.install(
    ["loss.pef.weights", "random", "sampler.batches_per_epoch", "1", "model.last_stride", "2", "train.ema", "0.5"]
)
import torchreid
datamanager = torchreid.data.ImageDataManager(
    root={str(sysu_root)!r}, sources="sysu_mm01", height=64, width=32, batch_size_train=16, num_instances=2, workers=0
)
assert type(datamanager) is not torchreid.data.ImageDataManager and isinstance(datamanager, torchreid.data.ImageDataManager)
model = torchreid.models.build_model("dual_resnet18", datamanager.num_train_pids, loss="mso", pretrained=False)
assert model.last_stride == 2
optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=0.001)
scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="warmup_cosine", max_epoch=2)
engine = torchreid.engine.ImageTripletEngine(datamanager, model, optimizer, scheduler=scheduler)
assert isinstance(engine, torchreid_rgbir.engine.CrossModalEngine)
engine.run(max_epoch=1, save_dir="log")
assert engine.eval_model is not engine.model  # averaged weights
from torchreid_rgbir.retrieval import Extractor
extractor = Extractor.load("log/model/model.pth.tar-1")
assert (extractor.height, extractor.width) == (64, 32)
assert extractor({str(sysu_root / "cam3" / "0001")!r}, "ir").shape == (2, 512)
"""
    run = python(["-c", code], tmp_path, layout)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "log" / "results.json").is_file()


def test_plain_torchreid_reads_our_checkpoint_and_its_tools_take_our_models(sysu_root, tiny_cfg, tmp_path):
    from torchreid_rgbir.runs.train import train

    train(config.override(tiny_cfg, ["model.last_stride", "1", "train.max_epoch", "1"]))
    checkpoint = tmp_path / "run" / "model" / "model.pth.tar-1"
    plain = f"import torchreid; print(torchreid.reid.utils.load_checkpoint({str(checkpoint)!r})['epoch'])"
    run = python(["-c", plain], tmp_path)
    assert run.returncode == 0 and run.stdout.strip() == "1", run.stderr

    extractor = host.utils.FeatureExtractor("dual_resnet18", str(checkpoint), image_size=(64, 32), device="cpu")
    images = sorted(str(path) for path in (sysu_root / "cam3" / "0001").glob("*.jpg"))
    rgb = extractor(images)
    model = extractor.model
    extractor.model = model.stream(1)
    ir = extractor(images)
    assert rgb.shape == ir.shape == (len(images), 512) and not torch.equal(rgb, ir)
    params, flops = host.utils.compute_model_complexity(model.stream(1), (1, 3, 64, 32))
    assert params > 11e6 and flops > 1e8
    maps = model.stream(1)(torch.zeros(2, 3, 64, 32), return_featuremaps=True)
    assert maps.shape == (2, 512, 4, 2)


def test_two_gpus_are_an_error_that_names_torchrun(monkeypatch):
    model = torch.nn.DataParallel(host.models.build_model("dual_resnet18", 3, pretrained=False))
    assert without_data_parallel(model) is model.module
    model.device_ids = [0, 1]
    with pytest.raises(ValueError, match="torchrun"):
        without_data_parallel(model)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)  # each process of torchrun uses one of them
    assert without_data_parallel(model) is model.module
