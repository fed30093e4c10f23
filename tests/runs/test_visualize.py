"""The command: pictures of a run, and its report in a real browser."""

import base64
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from yacs.config import CfgNode

from tests.whole_runs import assert_equal
from torchreid_rgbir import config, host
from torchreid_rgbir.cli import main
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.protocols import sysu_mm01
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.options import configuration_of_run
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.runs.visualize import KINDS, before_training, configuration, scored, visualize
from torchreid_rgbir.visual.figure import WIDTH

for module in ("sklearn", "jinja2"):
    pytest.importorskip(module)


@pytest.fixture(scope="module")
def run(sysu_root, tmp_path_factory):
    """The folder of a short training run on the small synthetic set."""
    folder = tmp_path_factory.mktemp("runs") / "night <&> day"
    settings = {"data.root": sysu_root, "data.save_dir": folder, "data.height": 64, "data.width": 32, "data.workers": 0}
    settings |= {"train.batch_size": 16, "sampler.num_instances": 2, "sampler.batches_per_epoch": 2}
    settings |= {"train.max_epoch": 2, "train.warmup_epoch": 1, "train.print_freq": 1, "test.eval_freq": 1}
    cfg = config.load("quickstart")
    train(config.override(cfg, [str(word) for pair in settings.items() for word in pair]))
    return folder


@pytest.fixture(scope="module")
def weights(run):
    return run / "model" / "model.pth.tar-2"


@pytest.fixture(scope="module")
def report(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "new"
    assert main(["visualize", "--weights", str(weights), "--out", str(out), "--report"]) == 0
    assert [path.name for path in out.iterdir()] == ["report.html"]
    return out / "report.html"


def test_all_pictures_of_a_run(weights, tmp_path, capsys):
    assert main(["visualize", "--weights", str(weights), "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{kind}.png" for kind in KINDS)
    for kind in KINDS:
        picture = Image.open(tmp_path / f"{kind}.png")
        assert np.asarray(picture).std() > 10
        assert kind == "ranked" or picture.width == WIDTH
        assert f"written: {tmp_path / kind}.png" in capsys.readouterr().out or kind != KINDS[0]


def test_a_model_trained_without_edges_is_shown_without_them(weights, tmp_path):
    state = checkpoint.load(weights)
    cfg = CfgNode.load_cfg(state["about"]["config"])
    cfg.loss.mso.weight_pef, cfg.loss.pef.weights = 0.0, str(tmp_path / "no such file")
    state["about"]["config"] = cfg.dump()
    (tmp_path / "run/model").mkdir(parents=True)
    path = tmp_path / "run/model/model.pth.tar-2"
    checkpoint.save(state, path)
    for events in weights.parent.parent.glob("events*"):
        shutil.copy(events, tmp_path / "run")
    (page,) = visualize(path, tmp_path / "out", report=True)
    assert "Layer0's response" not in page.read_text() and "Features in the plane" in page.read_text()
    paths = visualize(path, tmp_path / "out", only=["curves", "curves"])
    assert [path.name for path in paths] == ["curves.png"]


def test_given_images_need_no_data(weights, sysu_root, tmp_path):
    rgb, ir = (str(list_images(sysu_root / camera / "0017")[0]) for camera in ("cam1", "cam3"))
    flags = ["--rgb", rgb, rgb, "--ir", ir, "--only", "stages", "activation", "--root", "nowhere"]
    assert main(["visualize", "--weights", str(weights), "--out", str(tmp_path), *flags]) == 0
    assert Image.open(tmp_path / "stages.png").size == (WIDTH, 3 * 2 * WIDTH // 5 + 100)
    assert Image.open(tmp_path / "activation.png").size == (WIDTH, 2 * WIDTH // 2 + 100)


def test_before_training_is_the_network_that_training_began_with(run, weights, sysu_root, tmp_path):
    cfg = config.load(str(run / "config.yaml"))
    host.utils.set_random_seed(cfg.train.seed)
    began = build_engine(cfg).model.state_dict()
    model = before_training(load_model(weights)[1])
    assert not model.training
    assert_equal(dict(model.state_dict()), dict(began))
    trained = load_model(weights)[0].state_dict()
    assert not torch.equal(trained["layer0.ir.conv1.weight"], began["layer0.ir.conv1.weight"])
    image = str(list_images(sysu_root / "cam3" / "0017")[0])
    [path] = visualize(weights, tmp_path, only=["stages"], images={IR: [image]}, untrained=True)
    assert Image.open(path).size == (WIDTH, int(WIDTH / 6 * 2) + 100)


def test_before_training_has_the_weights_that_a_run_started_from(weights):
    about = load_model(weights)[1]
    about["config"] = config.override(
        CfgNode.load_cfg(about["config"]), ["model.load_weights", str(weights), "train.seed", "2"]
    ).dump()
    assert_equal(dict(before_training(about).state_dict()), dict(load_model(weights)[0].state_dict()))


@pytest.mark.parametrize("rule", ["7000,9000", "auto"])
def test_images_are_read_by_the_rule_of_the_training(weights, rule):
    about = load_model(weights)[1]
    about["config"] = config.override(CfgNode.load_cfg(about["config"]), ["data.ir_range", rule]).dump()
    about["images"]["ir_range"] = rule
    assert configuration(about, weights, root="").data.ir_range == rule
    del about["images"]["ir_range"]  # checkpoints of version 0.1
    assert configuration(about, weights, root="").data.ir_range == "dtype"


def test_figures_are_of_the_images_as_they_are(weights):
    about = load_model(weights)[1]
    about["config"] = about["config"].replace("corruption: none", "corruption: rgb")
    assert configuration_of_run(about).test.corruption == "rgb"
    assert configuration(about, weights, root="").test.corruption == "none"


def test_the_report_shows_the_runs_results(report, run):
    page = report.read_text(encoding="utf-8")
    results = json.loads((run / "results.json").read_text())
    table = page[page.index("<table>") : page.index("</table>")]
    for setting in results["settings"]:
        for measure in ("rank1", "mAP", "mINP"):
            assert f"<td>{100 * setting['mean'][measure]:.1f}" in table
    assert table.count("<tr>") == 1 + len(results["settings"])
    correct, incorrect = (
        int(re.search(rf"First match {word}: (\d+) of 16 queries", page)[1]) for word in ("correct", "incorrect")
    )
    assert correct + incorrect == 16 and correct > 0 and incorrect > 0
    assert "night &lt;&amp;&gt; day" in page and "night <&>" not in page
    assert "batches_per_epoch: 2" in page


def test_good_and_bad_examples_are_told_apart(report, weights):
    page = report.read_text(encoding="utf-8")
    good, bad = re.search(r"First match correct(.*)First match incorrect(.*)Training curves", page, re.DOTALL).groups()
    for part, sign in ((good, "✓"), (bad, "✗")):
        firsts = [re.search("[✓✗]", strip)[0] for strip in part.split('class="query"')[1:]]
        assert firsts and set(firsts) == {sign}
    engine, dataset = scored(configuration(load_model(weights)[1], weights, root=""))
    drawn = sysu_mm01.report(engine.features[dataset], None, sampling="agw")[0]["trials"][0]
    assert good.startswith(f": {round(16 * drawn['rank1'])} of 16 queries")


def test_the_report_holds_everything_itself(report):
    page = report.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in page and "url(" not in page and "@import" not in page
    pictures = [source.partition("base64,")[2] for source in sources if source.startswith("data:image")]
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert sum(width == WIDTH for width, _ in sizes) == 5
    assert sizes.count((96, 192)) == len(sizes) - 5 >= 2 * 11  # strips of a query and ten matches


@pytest.mark.skipif(
    not importlib.util.find_spec("PyQt6") or not importlib.util.find_spec("PyQt6.QtWebEngineCore"),
    reason="no headless Chromium: pip install PyQt6-WebEngine",
)
def test_the_report_in_a_browser_on_a_phone(report, tmp_path):
    browse = Path(__file__).with_name("browse.py")
    done = subprocess.run(
        [sys.executable, browse, report, "390", tmp_path / "phone.png"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["title"] == "sysu_mm01: night <&> day"
    assert found["console"] == [] and found["outside"] == []
    assert len(found["pictures"]) > 20 and min(found["pictures"]) > 0
    assert found["scrolled"] <= found["width"] == 390  # tables and strips scroll within themselves
    assert found["text"] >= 16
    screenshot = np.asarray(Image.open(tmp_path / "phone.png").convert("RGB"))
    assert screenshot.shape[0] > 2000 and screenshot.std() > 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "faces"], "figure 'faces' is unknown: choose from ranked"),
        (["--only", "ranked", "--report"], "the report always shows everything: omit --only"),
        (["--only", "ranked", "--ir", "x.jpg"], "--ir gives images for the figures stages and activation"),
        (["--only", "stages", "--rgb", "x.jpg"], "x.jpg is missing"),
        (["--only", "ranked", "--untrained"], "--untrained changes only the figure stages"),
        (["--root", "nowhere"], "nowhere"),
        (["--weights", "nowhere"], "is missing: give the path of a checkpoint"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(weights, tmp_path, capsys, flags, message):
    if flags[0] == "--weights":
        flags = [*flags, "--only", "ranked"]
    assert main(["visualize", "--weights", str(weights), "--out", str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    *log, last = error.splitlines()  # which warns of a random VGG, and shows how far it came
    assert message in last and ": error: " in last and not any("error" in line for line in log), error
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_alone_has_no_curves(weights, tmp_path, capsys):
    alone = tmp_path / "alone" / "model" / "weights"
    alone.parent.mkdir(parents=True)
    shutil.copy(weights, alone)
    assert main(["visualize", "--weights", str(alone), "--out", str(tmp_path / "out")]) == 2
    assert "alone contains no training curves" in capsys.readouterr().err
    assert [path.name for path in visualize(alone, tmp_path / "out", only=["ranked"])] == ["ranked.png"]


def test_a_missing_extra_is_named_with_its_command(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else name)
    assert main(["visualize", "--weights", str(weights), "--out", str(tmp_path / "out"), "--report"]) == 2
    assert "jinja2 is not installed: run `pip install 'torchreid-rgbir[visual]'`" in capsys.readouterr().err


def test_images_of_python_callers_reach_the_streams(weights, sysu_root, tmp_path):
    path = list_images(sysu_root / "cam1" / "0017")[0]
    (written,) = visualize(weights, tmp_path, only=["activation"], images={RGB: [path]})
    assert Image.open(written).size == (WIDTH, WIDTH + 100)
