"""Every shipped configuration builds and takes steps, its header is complete, and the page of recipes lists it."""

import json
import math
import re
from functools import cache
from pathlib import Path

import pytest

from tests.tiny import tiny_resnet
from torchreid_rgbir import config
from torchreid_rgbir.config import checks
from torchreid_rgbir.engine import build_lr_scheduler
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs.build import build_criterion, build_engine, build_model
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import synthesize

SHIPPED = sorted(config.shipped())
RECIPES = [path for path in SHIPPED if not path.stem.startswith(("quickstart", "ablation", "start", "torchreid"))]
PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
PARTS = {
    "agw": {"loss_id", "loss_wrt"},
    "luckydc": {"loss_id", "loss_tri_pooled"},
    "mcja": {"loss_id", "loss_cmr"},
    "caj": {"loss_id", "loss_wrt_sq"},
    "hctri": {"loss_id", "loss_hctri"},
    "mso": {"loss_id", "loss_wrt", "loss_pef", "loss_cmcc"},
    "mso_plus": {"loss_id", "loss_wrt", "loss_pef", "loss_cmcc"},
}
TINY = [
    *("model.pretrained", "False", "loss.pef.weights", "random", "data.height", "64", "data.width", "32", "data.workers", "0"),
    *("train.batch_size", "8", "sampler.num_instances", "2", "sampler.batches_per_epoch", "2", "train.max_epoch", "1"),
    *("test.sampling", "agw"),
]  # fmt: skip


def use_tiny_networks(monkeypatch):
    for name in ("dual_resnet50", "agw_resnet50", "luckydc_resnet50", "mcja_resnet50"):
        monkeypatch.setitem(MODELS, name, tiny_resnet)


def kind(name):
    return name.rpartition("_")[0]


@cache
def model_of(name, last_stride):
    return build_model(
        config.override(config.defaults(), ["model.name", name, "model.last_stride", str(last_stride)]), 3, False
    )


@pytest.fixture(scope="session")
def regdb_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "RegDB"
    synthesize("regdb", root, num_ids=10, images_per_camera=2, size=(32, 64), workers=1)
    return root


@pytest.fixture(scope="session")
def llcm_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "LLCM"
    synthesize("llcm", root, num_ids=10, images_per_camera=2, size=(32, 64), workers=1)
    return root


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem != "start"], ids=lambda path: path.stem)
def test_every_configuration_of_two_streams_builds_its_model_and_its_losses(path):
    cfg = config.override(config.load(path.stem), ["loss.pef.weights", "random"])
    checks.check(cfg)
    model = model_of(cfg.model.name, cfg.model.last_stride)
    assert model.name == cfg.model.name
    parts = {f"loss_{name}" for name, weight in build_criterion(cfg, model).weights.items() if weight}
    assert parts == PARTS.get(kind(path.stem), PARTS["mso"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_how_to_run_it_and_what_to_expect(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    command = "splits" if path.stem.endswith("regdb") else "train"
    assert (
        f"# torchreid-rgbir {command} --config-file {path.stem} --root reid-data data.save_dir log/{path.stem}"
        in header
    )
    text = " ".join(header)
    assert "Not run by this project" in text
    published = not path.stem.startswith("mso")
    assert ("Published" in text) == ("github.com/" in text or "mangye16/" in text or "hijune6/" in text) == published
    cfg = config.load(path.stem)
    suffix = path.stem.rpartition("_")[2]
    assert cfg.data.sources == [{"sysu": "sysu_mm01"}.get(suffix, suffix)]
    assert cfg.test.query == ("rgb" if cfg.data.sources == ["regdb"] else "ir")


def test_a_kind_is_the_same_on_every_set_but_for_what_its_header_says():
    for name in ("agw", "caj", "hctri", "mso", "mso_plus"):
        one, *others = (config.load(path.stem) for path in RECIPES if kind(path.stem) == name)
        differ = {key for other in others for key in config.differences(one, other)}
        erased = {"data.transforms"} if name == "agw" else set()  # as in the code of LLCM's authors
        sizes = {"data.height", "data.width"} if name == "mso" else set()  # of the sets with three spectra
        assert differ - erased - sizes <= {"data.sources", "test.query", "test.sampling"}
    assert config.load("agw_llcm").data.transforms == ["pad_crop", "random_flip", "random_erase"]


@pytest.mark.parametrize(("name", "epochs"), [("agw_sysu", 81), ("caj_regdb", 100), ("hctri_sysu", 60)])
def test_agws_learning_rates_of_every_epoch(sysu_root, regdb_root, tmp_path, monkeypatch, name, epochs):
    def agw(epoch):  # from 0, as the authors count
        if epoch < 10:
            return 0.1 * (epoch + 1) / 10
        return 0.1 if epoch < 20 else 0.01 if epoch < 50 else 0.001

    use_tiny_networks(monkeypatch)
    root = regdb_root if name.endswith("regdb") else sysu_root
    cfg = config.override(config.load(name), [*TINY, "data.root", str(root), "data.save_dir", str(tmp_path)])
    engine = build_engine(cfg)
    cfg = config.load(name)
    pretrained, new = engine.optimizer.param_groups
    own = {
        id(parameter) for part in (engine.model.bottleneck, engine.model.classifier) for parameter in part.parameters()
    }
    assert {id(parameter) for parameter in new["params"]} == own
    assert len(pretrained["params"]) + len(own) == len(list(engine.model.parameters()))
    assert new["nesterov"] and new["momentum"] == 0.9 and new["weight_decay"] == 5e-4
    scheduler = build_lr_scheduler(
        engine.optimizer,
        cfg.train.lr_scheduler,
        cfg.train.stepsize,
        cfg.train.gamma,
        cfg.train.max_epoch,
        cfg.train.warmup_epoch,
    )
    assert cfg.train.max_epoch == epochs
    for epoch in range(epochs):
        assert (new["lr"], pretrained["lr"]) == pytest.approx((agw(epoch), agw(epoch) / 10))
        engine.optimizer.step()
        scheduler.step()


def test_a_new_layer_that_the_model_has_not(sysu_root, tmp_path, monkeypatch):
    use_tiny_networks(monkeypatch)
    words = [*TINY, "data.root", str(sysu_root), "data.save_dir", str(tmp_path), "train.new_layers", "[clasifier]"]
    with pytest.raises(ValueError, match="train.new_layers: agw_resnet50 has no clasifier, choose from layer0, "):
        build_engine(config.override(config.load("agw_sysu"), words))


@pytest.mark.parametrize("name", [*(f"{name}_sysu" for name in PARTS), "agw_regdb", "agw_llcm"])
def test_a_recipe_takes_steps_and_is_scored(request, tmp_path, monkeypatch, name):
    use_tiny_networks(monkeypatch)
    root = request.getfixturevalue(f"{name.rpartition('_')[2]}_root")
    train(config.override(config.load(name), [*TINY, "data.root", str(root), "data.save_dir", str(tmp_path / "run")]))
    losses = dict(re.findall(r"(loss_\w+) (\S+)", (tmp_path / "run" / "train.log").read_text()))
    assert losses.keys() == PARTS[kind(name)]
    assert all(0 < float(value) < math.inf for value in losses.values())
    first = json.loads((tmp_path / "run" / "results.json").read_text())["settings"][0]
    assert 0 < first["mean"]["mAP"] <= 1
    assert (
        first.get("direction")
        == {"sysu": None, "regdb": "visible->thermal", "llcm": "nir->vis"}[name.rpartition("_")[2]]
    )


def test_the_page_names_every_recipe_with_its_command():
    page = PAGE.read_text(encoding="utf-8")
    rows = [line for line in page.split("## Which one")[0].splitlines() if line.startswith("| `")]
    named = {row.split("`")[1] for row in rows}
    assert named == {path.stem for path in RECIPES}
    for path in RECIPES:
        [row] = [row for row in rows if f"| `{path.stem}`" in row]
        for line in path.read_text().splitlines():
            if line.startswith("# Published"):
                numbers = [
                    word.strip(",;:") for word in line.split() if word.strip(",;:")[:1].isdigit() and "." in word
                ]
                assert all(number.rstrip(".") in row for number in numbers), (path.stem, numbers)
