"""torchreid's own tools on the plugin's data sets, models and checkpoints, on both distributions."""

import re
import warnings

import numpy as np
import pytest
import torch

import torchreid_rgbir  # noqa: F401  registers the models and checks FeatureExtractor
from tests import tiny
from tests.layouts import make_checkout, python
from torchreid_rgbir import host
from torchreid_rgbir.engine import image_mso
from torchreid_rgbir.metrics import report
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import load_model


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(params=["pypi", "checkout"])
def layout(request):
    return None if request.param == "pypi" else request.getfixturevalue("checkout")


# What torchreid's tools/visualize_actmap.py and tools/compute_mean_std.py call.
TOOLS = """
import sys
import torchreid
from torchreid.utils import check_isfile, load_pretrained_weights

datamanager = torchreid.data.ImageDataManager(
    root=sys.argv[1], sources="sysu_mm01", height=64, width=32, batch_size_train=100, batch_size_test=100,
    transforms=None, train_sampler="SequentialSampler", workers=0, use_gpu=False,
)
mean, number = 0.0, 0
for data in datamanager.train_loader:
    images = data["img"]
    mean, number = mean + images.view(len(images), 3, -1).mean(2).sum(0), number + len(images)
assert number == 100 and (mean / number).abs().max() < 3, (mean, number)
model = torchreid.models.build_model("dual_resnet18", datamanager.num_train_pids, pretrained=False, use_gpu=False).eval()
names = []
for data in datamanager.test_loader["sysu_mm01"]["query"]:
    maps = model(data["img"], return_featuremaps=True)
    assert maps.shape == (len(data["img"]), 512, 4, 2), maps.shape
    assert set(data["modality"].tolist()) == {0}
    names += [path.split("/")[-1] for path in data["impath"]]
print("names", len(set(names)))  # visualize_actmap.py names its files so
"""


def test_tools_that_read_images_in_order(sysu_root, tmp_path, layout):
    (tmp_path / "tool.py").write_text(TOOLS)
    run = python(["-m", "torchreid_rgbir", "run", "tool.py", sysu_root], tmp_path, layout)
    assert run.returncode == 0, run.stderr
    assert "the query loader has the RGB images, for which model(images) is correct" in run.stderr
    assert "names 32" in run.stdout  # 4 identities, 2 images from each of 4 cameras


def test_parse_test_res_finds_the_numbers_of_a_test():
    # The expressions of torchreid's tools/parse_test_res.py.
    expressions = [r"mAP: ([\.\deE+-]+)%", *(rf"Rank-{rank:<3}: ([\.\deE+-]+)%" for rank in (1, 5, 10, 20))]
    mean = {"mAP": 0.4311, "rank1": 0.2906, "rank5": 0.5, "rank10": 0.75, "rank20": 1.0}
    other = {key: 0.0 for key in mean}
    settings = [
        {"direction": "ir_to_rgb", "mean": other},
        {"direction": "ir_to_rgb", "mean": mean, "rerank": {"k1": 20, "k2": 6, "lambda": 0.3}},
    ]
    line = report.torchreid_line({"settings": settings})
    assert [float(re.search(text, line)[1]) for text in expressions] == [43.1, 29.1, 50.0, 75.0, 100.0]
    assert line.startswith("ir_to_rgb, re-ranked (20, 6, 0.3):  mAP")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file of a dual_resnet18 with last stride 2, trained on images of 64 x 32."""
    torch.manual_seed(0)
    model = MODELS["dual_resnet18"](5, pretrained=False, last_stride=2)
    images = {"height": 64, "width": 32, "norm_mean": [0.5] * 3, "norm_std": [0.25] * 3, "ir_range": "auto"}
    about = {"model": {"name": "dual_resnet18", "num_classes": 5, "last_stride": 2}, "images": images}
    path = tmp_path_factory.mktemp("model") / "model.pth.tar-1"
    torch.save({"state_dict": model.state_dict(), "epoch": 1, "rank1": 0.5, "about": about}, path)
    return path


SAME = {"image_size": (64, 32), "pixel_mean": [0.5] * 3, "pixel_std": [0.25] * 3, "device": "cpu", "verbose": False}


def test_feature_extractor_builds_the_model_of_the_checkpoint(checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = host.utils.FeatureExtractor("dual_resnet18", str(checkpoint), **SAME)
    model = MODELS["dual_resnet18"](5, pretrained=False, last_stride=2)
    model.load_state_dict(torch.load(checkpoint)["state_dict"])
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    inputs = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    with torch.no_grad():
        torch.testing.assert_close(extractor(image), model.eval()(inputs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (256, 128)}, r"was trained with image_size=\(64, 32\), but FeatureExtractor uses \(256, 128\)"),
        ({"pixel_mean": [0.1] * 3}, r"pass pixel_mean=\(0.5, 0.5, 0.5\)"),
        ({"pixel_std": [1.0] * 3}, r"pass pixel_std=\(0.25, 0.25, 0.25\)"),
    ],
)
def test_feature_extractor_warns_of_other_images_than_in_training(checkpoint, arguments, message):
    with pytest.warns(UserWarning, match=message):
        host.utils.FeatureExtractor("dual_resnet18", str(checkpoint), **SAME | arguments)


def test_feature_extractor_refuses_a_different_model_and_leaves_torchreids_alone(checkpoint):
    with pytest.raises(
        ValueError, match="contains a dual_resnet18, not a dual_resnet34: pass model_name='dual_resnet18'"
    ):
        host.utils.FeatureExtractor("dual_resnet34", str(checkpoint), **SAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = host.models.build_model("osnet_x0_25", 5, pretrained=False)
        host.utils.save_checkpoint({"state_dict": model.state_dict(), "epoch": 1}, str(checkpoint.parent / "osnet"))
        path = checkpoint.parent / "osnet" / "model.pth.tar-1"
        host.utils.FeatureExtractor("osnet_x0_25", str(path), device="cpu", verbose=False)


def test_checkpoint_functions_of_torchreid(tmp_path):
    utils, model = host.utils, tiny.tiny_resnet(5, loss="mso")
    optimizer = host.optim.build_optimizer(model, optim="adam", lr=0.1)
    scheduler = host.optim.build_lr_scheduler(optimizer, "single_step", stepsize=1)
    optimizer.step()
    scheduler.step()
    parallel = {f"module.{name}": value for name, value in model.state_dict().items()}
    state = {"state_dict": parallel, "epoch": 3, "rank1": 0.5, "optimizer": optimizer.state_dict()}
    state["scheduler"] = scheduler.state_dict()
    utils.save_checkpoint(state, str(tmp_path), is_best=True, remove_module_from_keys=True)
    other = tiny.tiny_resnet(5, loss="mso")
    second = host.optim.build_optimizer(other, optim="adam", lr=0.1)
    schedule = host.optim.build_lr_scheduler(second, "single_step", stepsize=1)
    assert utils.resume_from_checkpoint(str(tmp_path / "model-best.pth.tar"), other, second, schedule) == 3
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert second.param_groups[0]["lr"] == pytest.approx(0.01)

    third = tiny.tiny_resnet(9)  # other identities: the classifier stays as it is
    utils.load_pretrained_weights(third, str(tmp_path / "model.pth.tar-3"))
    assert torch.equal(third.layer4[0].conv1.weight, model.layer4[0].conv1.weight) and len(third.classifier.weight) == 9


def test_layers_are_opened_and_frozen(capsys):
    model = tiny.tiny_resnet(5, loss="mso")
    host.utils.open_specified_layers(model, ["classifier", "bottleneck"])
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"classifier.weight", "bottleneck.weight"}
    assert not model.layer1.training and model.bottleneck.training
    host.utils.open_all_layers(model)
    assert all(parameter.requires_grad for parameter in model.parameters()) and model.layer1.training
    host.models.show_avai_models()
    shown = capsys.readouterr().out
    assert all(f"'{name}'" in shown for name in MODELS)


def test_a_checkpoint_of_image_mso_engine_says_how_to_use_its_model(sysu_root, tmp_path, monkeypatch):
    torch.manual_seed(0)
    datamanager = host.data.CrossModalDataManager(
        str(sysu_root), "sysu_mm01", height=64, width=32, batch_size_train=16, num_instances=2, workers=0
    )
    model = MODELS["dual_resnet18"](datamanager.num_train_pids, loss="mso", pretrained=False, last_stride=2)
    optimizer = host.optim.build_optimizer(model)
    engine = host.engine.ImageMSOEngine(datamanager, model, optimizer, criterion=torch.nn.Identity(), use_gpu=False)
    engine.save_model(0, np.float64(0.5), str(tmp_path))
    path = tmp_path / "model" / "model.pth.tar-1"
    loaded, about = load_model(path)
    assert (loaded.last_stride, about["images"]["height"], about["images"]["width"]) == (2, 64, 32)
    images = torch.rand(2, 3, 64, 32)
    assert torch.equal(loaded(images), model.eval()(images))
    assert host.utils.resume_from_checkpoint(str(path), model, optimizer, engine.scheduler) == 1

    # Test images in different folders have the same names, and every query has a file of its own.
    queries = datamanager.test_dataset["sysu_mm01"]["query"]
    engine.test(dist_metric="cosine", visrank=True, visrank_topk=2, save_dir=str(tmp_path))
    assert len(list((tmp_path / "visrank_sysu_mm01").glob("*.jpg"))) == len(queries) == 16
    assert datamanager.test_dataset["sysu_mm01"]["query"] is queries
    monkeypatch.setattr(image_mso, "with_unique_names", None)  # only ranked results need the names
    engine.test(dist_metric="cosine", save_dir=str(tmp_path))


ADVICE = r"use torchreid.engine.ImageMSOEngine, or call torchreid_rgbir.install\(\) first"


# In a process of its own, since other tests install the plugin's patches.
MISTAKES = """
import sys
import torch
import torchreid
import torchreid_rgbir

datamanager = torchreid.data.CrossModalDataManager(
    sys.argv[1], "sysu_mm01", height=64, width=32, batch_size_train=16, num_instances=2, workers=0
)
stock = torchreid.data.ImageDataManager(sys.argv[1], "sysu_mm01", height=64, width=32, workers=0)


def attempt(engine, datamanager, name, loss, num_gpus=1):
    model = torchreid.models.build_model(name, 16, loss=loss, pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model)
    if num_gpus > 1:
        model = torch.nn.DataParallel(model)
        model.device_ids = list(range(num_gpus))
    try:
        getattr(torchreid.engine, engine)(datamanager, model, optimizer, use_gpu=False)
        print("found: accepted")
    except ValueError as error:
        print("found:", error)


attempt("ImageTripletEngine", datamanager, "osnet_x0_25", "triplet")
attempt("ImageSoftmaxEngine", datamanager, "osnet_x0_25", "softmax")
attempt("ImageTripletEngine", stock, "dual_resnet18", "mso")
attempt("CrossModalEngine", datamanager, "dual_resnet18", "mso", 2)
attempt("ImageTripletEngine", stock, "osnet_x0_25", "triplet", 2)
torchreid_rgbir.install()
attempt("ImageTripletEngine", stock, "osnet_x0_25", "triplet", 2)
attempt("ImageTripletEngine", datamanager, "dual_resnet18", "mso")
"""


def test_wrong_combinations_end_in_one_line(sysu_root, tmp_path, layout):
    run = python(["-c", MISTAKES, sysu_root], tmp_path, layout)
    assert run.returncode == 0, run.stderr
    expected = [
        f"ImageTripletEngine trains on images of one modality, and CrossModalDataManager has RGB and IR images: {ADVICE}",
        f"ImageSoftmaxEngine trains on images of one modality, and CrossModalDataManager has RGB and IR images: {ADVICE}",
        f"ImageTripletEngine cannot train dual_resnet18 with loss='mso': {ADVICE}",
        "DataParallel over 2 GPUs would cut a batch between its modalities",
        "accepted",  # torchreid's own models may use several GPUs
        "accepted",
        "accepted",
    ]
    found = re.findall("^found: (.*)$", run.stdout, re.MULTILINE)
    assert len(found) == len(expected)
    assert all(re.match(text, line) for text, line in zip(expected, found, strict=True)), found
