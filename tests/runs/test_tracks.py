"""Training on tracks, scoring them, and feature files with a `tracks` column."""

import csv
import json

import pytest

from tests import tiny
from torchreid_rgbir.cli import main
from torchreid_rgbir.doctor import diagnose
from torchreid_rgbir.metrics import load_features
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import synthesize


@pytest.fixture(params=["hitsz_vcm", "bupt_campus"])
def run(request, tmp_path, monkeypatch):
    """A data set of tracks and a trained run: name, folder of the data, engine, folder of the run."""
    monkeypatch.setitem(MODELS, "dual_resnet18", tiny.tiny_resnet)
    name, root = request.param, tmp_path / "data"
    synthesize(name, root, num_ids=10, images_per_camera=12, size=(16, 32), workers=1)
    words = ("data.sources", f"[{name}]", "train.max_epoch", "1", "test.normalize_feature", "True")
    return name, root, train(tiny.configuration(root, tmp_path / "run", *words)), tmp_path / "run"


def test_tracks_are_trained_scored_extracted_and_evaluated(run, tmp_path, capsys):
    name, root, engine, folder = run
    assert diagnose(name, root).healthy
    items, sampler = engine.train_loader.dataset.train, engine.datamanager.sampler
    for batch in sampler:
        for start in range(0, len(batch), 2):
            assert len({items[index].track for index in batch[start : start + 2]}) == 2
    results = json.loads((folder / "results.json").read_text())
    expected = 4 if name == "hitsz_vcm" else 2  # tracks of two test identities
    assert [setting["num_queries"] for setting in results["settings"]] == [expected, expected]
    assert [setting["direction"] for setting in results["settings"]] == ["ir->rgb", "rgb->ir"]

    rows = {0: [], 1: []}
    loaders = engine.test_loader[name]
    for item in (*loaders["query"].dataset.query, *loaders["gallery"].dataset.gallery):
        rows[item.modality].append((item.impath, item.pid, item.camid, item.track))
    for modality, word in ((0, "rgb"), (1, "ir")):
        with open(tmp_path / f"{word}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("path", "category", "camera", "track"), *rows[modality]])
    out, weights = tmp_path / "features.npz", folder / "model" / "model.pth.tar-1"
    tables = ["--rgb", str(tmp_path / "rgb.csv"), "--ir", str(tmp_path / "ir.csv")]
    assert main(["extract", "--weights", str(weights), *tables, "--out", str(out)]) == 0
    assert (
        f"in {len({row[1:] for row in rows[0]} | {(*row[1:], 1) for row in rows[1]})} tracks" in capsys.readouterr().out
    )
    data = load_features(out)
    assert data.tracks.min() > 0
    if name == "hitsz_vcm":
        assert main(["evaluate", str(out), "--protocol", name, "--json", str(tmp_path / "again.json")]) == 0
        again = json.loads((tmp_path / "again.json").read_text())
        for one, other in zip(again["settings"], results["settings"], strict=True):
            assert one["num_queries"] == other["num_queries"] and one["num_gallery"] == other["num_gallery"]
            assert one["mean"] == pytest.approx(other["mean"], abs=1e-6)


def test_a_table_of_frames_that_cannot_be(tmp_path):
    from tests.data_layouts import Fails, write_image
    from torchreid_rgbir.retrieval.image_table import read_frame_table, read_image_table

    write_image(tmp_path / "a.jpg")
    (tmp_path / "list.csv").write_text("path,category,track\na.jpg,one,x\n")
    with Fails(ValueError, "list.csv, line 2: column track: x is not a number"):
        read_frame_table(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("path,category,track\nb.jpg,one,1\n")
    with Fails(FileNotFoundError, "b.jpg is missing"):
        read_frame_table(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("path,category,camera,track\na.jpg#2of3,one,4,7\na.jpg#1of3,one,,\n")
    assert [row[1:] for row in read_frame_table(tmp_path / "list.csv")] == [("one", 4, 7), ("one", 0, 0)]
    with Fails(ValueError, "columns path, category, camera, track: expected path and category"):
        read_image_table(tmp_path / "list.csv")
