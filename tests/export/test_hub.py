"""A folder in the hub's layout: what it contains, and that every reader of a checkpoint reads it."""

import json
import re

import pytest
import torch
import yaml

from tests.hub_server import NAME, serving
from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.export import export_hub
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.retrieval import Extractor
from torchreid_rgbir.runs.train import train

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")


@pytest.fixture
def run(fast_cfg, tmp_path):
    """A run of one epoch, with its results."""
    train(config.override(fast_cfg.clone(), ["data.save_dir", str(tmp_path / "run"), "train.max_epoch", "1"]))
    return tmp_path / "run"


@pytest.fixture
def server(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "cache") as server:
        yield server


def test_a_model_travels(run, fast_cfg, server, tmp_path, capsys):
    weights, out = run / "model" / "model.pth.tar-1", tmp_path / "night"
    assert main(["export", "--layout", "hub", "--weights", str(weights), "--out", str(out)]) == 0
    assert "results in the model card: yes" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    server.files = {path.name: path.read_bytes() for path in out.iterdir()}
    expected = Extractor.load(weights).fingerprint
    assert Extractor.load(out).fingerprint == expected
    assert Extractor.load(f"hf://{NAME}@v1").fingerprint == expected
    saved = checkpoint.load(weights)["state_dict"]
    for source in (f"hf://{NAME}", str(out)):
        tested = config.override(fast_cfg.clone(), ["model.load_weights", source, "test.evaluate", "True"])
        assert all(torch.equal(value, saved[key]) for key, value in train(tested).model.state_dict().items())


def test_the_files_name_no_path_of_the_author(run, tmp_path):
    export_hub(run / "model" / "model.pth.tar-1", tmp_path / "night")
    settings = json.loads((tmp_path / "night" / "config.json").read_text())["config"]
    assert settings["model"]["name"] == "dual_resnet18" and "root" not in settings["data"]
    for name in ("config.json", "README.md"):
        assert str(tmp_path) not in (tmp_path / "night" / name).read_text()
    assert load_model(tmp_path / "night")[1]["config"]


def test_the_card_has_the_numbers_of_the_test(run, tmp_path):
    export_hub(run / "model" / "model.pth.tar-1", tmp_path / "night")
    text = (tmp_path / "night" / "README.md").read_text()
    results = json.loads((run / "results.json").read_text())
    table = (run / "results.md").read_text().rstrip()
    assert table in text and f"| train | {results['run']['data']['train']['num_files']} |" in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["library_name"] == "torchreid-rgbir"
    metrics = head["model-index"][0]["results"][0]["metrics"]
    mean = results["settings"][0]["mean"]
    assert [(one["type"], one["value"]) for one in metrics] == [
        (key, round(100 * mean[key], 2)) for key in ("rank1", "mAP", "mINP")
    ]
    huggingface_hub = pytest.importorskip("huggingface_hub")
    card = huggingface_hub.ModelCard(text)  # the hub's parser accepts the metadata
    assert card.data.eval_results[1].metric_type == "mAP" and card.data.model_name == "night"


def test_results_of_other_weights_are_not_used(run, tmp_path, caplog):
    state = checkpoint.load(run / "model" / "model.pth.tar-1")
    checkpoint.save(state | {"epoch": 0}, run / "model" / "model.pth.tar-0")
    assert not export_hub(run / "model" / "model.pth.tar-0", tmp_path / "night")
    assert re.search("the model card has no results, because .* belongs to model.pth.tar-1: test", caplog.text)
    text = (tmp_path / "night" / "README.md").read_text()
    assert "The weights were not tested." in text and "model-index" not in text
    assert export_hub(run / "model" / "model.pth.tar-0", tmp_path / "night", run / "results.json")
    assert "model-index" in (tmp_path / "night" / "README.md").read_text()


def test_bad_input_ends_in_one_line(run, tmp_path, capsys):
    words = ["export", "--weights", str(run / "model" / "model.pth.tar-1"), "--out", str(tmp_path / "night")]
    (tmp_path / "file").write_text("[]")
    for more, message in (
        (["--layout", "hub", "--results", "absent.json"], "absent.json is missing: give the results.json"),
        (["--layout", "hub", "--results", str(tmp_path / "file")], "is not a results.json"),
        (["--layout", "hub", "--out", str(tmp_path / "file")], "is a file: choose a folder"),
        (["--results", str(tmp_path / "file")], "add --layout hub, or remove --results"),
    ):
        assert main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert message in error and error.strip().count("\n") == 0
    assert not (tmp_path / "night").exists()
