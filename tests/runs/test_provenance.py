"""What results.json keeps of where a number came from."""

import json
import subprocess

from torchreid_rgbir import config
from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.runs.provenance import fingerprint, git_revision
from torchreid_rgbir.runs.train import train

ITEMS = [Item("/one/0001/a.jpg", 1, 1, 0, RGB, 1), Item("/one/0001/b.jpg", 1, 3, 0, IR, 1)]


def test_a_run_tells_what_it_came_from(fast_cfg, tmp_path):
    train(fast_cfg)
    run = json.loads((tmp_path / "run" / "results.json").read_text())["run"]
    assert run["configuration"] == json.loads(json.dumps(config.load(str(tmp_path / "run" / "config.yaml"))))
    assert run["batches_per_epoch"] == 3
    assert run["data"]["train"]["num_files"] == 16 * 6 * 2 and run["data"]["sysu_mm01"]["num_files"] == 4 * 6 * 2
    assert run["command"] and run["device"] and 0 < run["seconds"] < 60


def test_the_time_of_a_resumed_run_is_all_of_it(fast_cfg, tmp_path):
    first = train(config.override(fast_cfg.clone(), ["train.max_epoch", "1"])).seconds
    again = train(config.override(fast_cfg, ["model.resume", "auto"])).seconds
    assert again > first


def test_a_fingerprint_is_of_names_and_labels_not_of_order_or_place():
    same = [item._replace(impath=item.impath.replace("one", "two")) for item in reversed(ITEMS)]
    assert fingerprint(ITEMS) == fingerprint(same)
    assert fingerprint(ITEMS)["num_files"] == 2
    for change in ({"impath": "/one/0001/c.jpg"}, {"impath": "/one/0002/a.jpg"}, {"pid": 2}, {"camid": 2}):
        assert fingerprint([ITEMS[0]._replace(**change), ITEMS[1]])["sha256"] != fingerprint(ITEMS)["sha256"], change


def test_a_file_of_a_checkout_has_a_revision_and_another_has_none(tmp_path):
    file, installed = tmp_path / "a", tmp_path / "b"
    installed.touch()
    assert git_revision(file) is None

    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    file.touch()
    git("add", "a")
    git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-m", "x")
    revision = git_revision(file)
    assert len(revision) == 40
    file.write_text("changed")
    assert git_revision(file) == f"{revision}+changes"
    assert git_revision(installed) is None
