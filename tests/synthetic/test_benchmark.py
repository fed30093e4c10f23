"""`rgbir_synthetic`: it writes itself once, whoever asks for it and how many at a time, and is used like any other data set."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from torchreid_rgbir import config, host
from torchreid_rgbir.cli import main
from torchreid_rgbir.data import CrossModalDataManager
from torchreid_rgbir.doctor.diagnose import diagnose
from torchreid_rgbir.doctor.official_counts import LAYOUTS, TEST_IDS, TRAIN_IDS
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic import RGBIRSynthetic, benchmark
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.write import describe, synthesize

FOLDER = f"rgbir_synthetic/hard-v{PRESETS['hard'].version}"

# Two of these ask at once: each says that it is ready, waits for the other, and tells where the benchmark is and whether it drew it.
ASK = """
import sys, time
from pathlib import Path
from torchreid_rgbir.synthetic import benchmark
from torchreid_rgbir.synthetic.render import PRESETS
root, name = Path(sys.argv[1]), sys.argv[2]
PRESETS["hard"] = PRESETS["hard"]._replace(num_ids=10)
benchmark.IMAGES_PER_CAMERA = 2
synthesize, drew = benchmark.synthesize, []
benchmark.synthesize = lambda *args, **options: drew.append(synthesize(*args, **options))
(root / f"{name}.ready").touch()
while len(list(root.glob("*.ready"))) < 2:
    time.sleep(0.001)
print(benchmark.find_benchmark(str(root)), len(drew))
"""


@pytest.fixture
def small(monkeypatch):
    """The benchmark with 10 identities and 2 images of each from each camera."""
    monkeypatch.setitem(PRESETS, "hard", PRESETS["hard"]._replace(num_ids=10))
    monkeypatch.setattr(benchmark, "IMAGES_PER_CAMERA", 2)


def load(root, **options):
    return RGBIRSynthetic(root=str(root), verbose=False, **options)


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_benchmark_is_what_it_is():
    # Another number here is another benchmark: count up the version of `hard`, and say it in docs/data.md.
    assert (PRESETS["hard"].version, PRESETS["hard"].num_ids, benchmark.IMAGES_PER_CAMERA) == (1, 1000, 4)
    assert RGBIRSynthetic.folder == FOLDER == "rgbir_synthetic/hard-v1"
    made = describe("sysu_mm01", 1000, 4, preset="hard")
    published = LAYOUTS["rgbir_synthetic"].published
    assert (published[TRAIN_IDS], published[TEST_IDS]) == (made["num_train_ids"], made["num_test_ids"])
    counts = [number for name, number in published.items() if name not in (TRAIN_IDS, TEST_IDS)]
    train_rgb, train_ir, query, gallery = counts
    assert (train_rgb + gallery, train_ir + query) == (made["num_rgb_images"], made["num_ir_images"])
    assert train_rgb == 4 * gallery and train_ir == 4 * query


def test_it_writes_itself_where_it_is_not(small, tmp_path):
    dataset = load(tmp_path / "new" / "root")

    folder = tmp_path / "new" / "root" / FOLDER
    assert Path(dataset.dataset_dir) == folder
    assert (dataset.num_train_pids, len(dataset.query), len(dataset.gallery)) == (8, 2 * 2 * 2, 2 * 4 * 2)
    synthesize("sysu_mm01", tmp_path / "same", 10, 2, workers=1, preset="hard")
    assert files(folder) == files(tmp_path / "same")


def test_it_is_written_once(small, tmp_path, monkeypatch):
    load(tmp_path)
    monkeypatch.setattr(benchmark, "synthesize", None)

    for root in (tmp_path, tmp_path / FOLDER):
        assert Path(load(root).dataset_dir) == tmp_path / FOLDER
    (tmp_path / FOLDER).rename(tmp_path / "elsewhere")
    assert Path(load(tmp_path / "elsewhere").dataset_dir) == tmp_path / "elsewhere"


def test_its_own_folder_may_be_named_before_it_is_there(small, tmp_path):
    assert Path(load(tmp_path / FOLDER).dataset_dir) == tmp_path / FOLDER
    assert not (tmp_path / FOLDER / "rgbir_synthetic").exists()


def test_a_read_only_folder_is_enough_once_it_is_written(small, tmp_path, monkeypatch):
    load(tmp_path)
    monkeypatch.setattr(benchmark.atomic, "only_writer", None)
    load(tmp_path)


def test_two_processes_at_once(small, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    asked = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True, env=environment) for name in "ab"]
    told = [process.communicate(timeout=120)[0].split() for process in asked]

    assert [process.returncode for process in asked] == [0, 0]
    assert sorted(drew for _, drew in told) == ["0", "1"]
    assert {folder for folder, _ in told} == {str(tmp_path / FOLDER)}
    synthesize("sysu_mm01", tmp_path / "same", 10, 2, workers=1, preset="hard")
    assert files(tmp_path / FOLDER) == files(tmp_path / "same")
    assert {path.name for path in (tmp_path / FOLDER).parent.iterdir()} == {"hard-v1"}


def test_what_a_killed_process_left_is_removed(small, tmp_path):
    left = (tmp_path / FOLDER).with_name(".hard-v1.0123abcd.part")
    left.mkdir(parents=True)
    (left / "half").touch()
    load(tmp_path)
    assert not left.exists()


def test_another_set_in_its_place_is_told_and_kept(small, tmp_path, fails):
    synthesize("sysu_mm01", tmp_path / FOLDER, 5, 1, workers=1, preset="hard")
    before = files(tmp_path)
    for write in (True, False):
        with fails(ValueError, tmp_path / FOLDER, "something other", "remove the folder"):
            load(tmp_path, write=write)
    assert {name: data for name, data in files(tmp_path).items()} == before


def test_a_root_that_cannot_be_written(small, tmp_path, fails):
    (tmp_path / "file").touch()
    with fails(OSError, tmp_path / "file", "set data.root"):
        load(tmp_path / "file")


def test_without_writing_a_missing_one_is_an_error(small, tmp_path, fails):
    with fails(FileNotFoundError, tmp_path / FOLDER, "-s rgbir_synthetic", "--preset hard"):
        load(tmp_path, write=False)
    assert list(tmp_path.iterdir()) == []


def test_torchreid_knows_its_name(small, tmp_path):
    dataset = host.data.datasets.init_image_dataset("rgbir_synthetic", root=str(tmp_path), verbose=False)
    assert type(dataset) is RGBIRSynthetic


def test_the_data_manager_loads_it(small, tmp_path):
    manager = CrossModalDataManager(
        root=str(tmp_path),
        sources="rgbir_synthetic",
        height=64,
        width=32,
        batch_size_train=8,
        num_instances=2,
        workers=0,
        use_gpu=False,
    )
    batch = next(iter(manager.train_loader))
    assert batch["img"].shape == (8, 3, 64, 32) and batch["img"].dtype == torch.uint8
    assert batch["modality"].tolist() == [RGB] * 4 + [IR] * 4


def test_it_is_trained_on_and_its_version_is_kept_with_the_score(small, fast_cfg, tmp_path):
    words = ["data.root", str(tmp_path / "data"), "data.sources", "[rgbir_synthetic]", "test.sampling", "official"]
    train(config.override(fast_cfg, words))

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["dataset"] == "rgbir_synthetic"
    assert results["run"]["data"]["rgbir_synthetic"]["version"] == "hard-v1"
    assert {setting["num_trials"] for setting in results["settings"]} == {10}


def test_doctor(small, tmp_path, monkeypatch, capsys):
    command = ["doctor", "--dataset", "rgbir_synthetic", "--root", str(tmp_path)]
    assert main(command) == 1
    assert f"{tmp_path / FOLDER} is missing" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []  # a check writes nothing

    load(tmp_path)
    counts = {TRAIN_IDS: 8, TEST_IDS: 2}
    layout = dataclasses.replace(LAYOUTS["rgbir_synthetic"], published=counts)
    monkeypatch.setitem(LAYOUTS, "rgbir_synthetic", layout)
    diagnosis = diagnose("rgbir_synthetic", tmp_path)
    assert diagnosis.healthy and not diagnosis.findings and diagnosis.num_images == 10 * 6 * 2
    assert main(command) == 0

    (tmp_path / FOLDER / "cam1" / "0001" / "0001.jpg").write_bytes(b"")
    (tmp_path / FOLDER / "cam2" / "0010" / "0001.jpg").unlink()
    problems = [finding for finding in diagnose("rgbir_synthetic", tmp_path).findings if finding.problem]
    assert any("cannot be read" in finding.text for finding in problems)
    assert any("unlike" in finding.text and "rand_perm_cam.mat" in finding.text for finding in problems)


def test_doctor_knows_how_many_there_should_be(small, tmp_path):
    load(tmp_path)
    diagnosis = diagnose("rgbir_synthetic", tmp_path)  # 10 identities, where 1000 are published
    (finding,) = [finding for finding in diagnosis.findings if finding.problem]
    assert "scores are not comparable" in finding.text and "writes it again" in finding.text
    assert "training identities: 8 instead of 800" in finding.details
