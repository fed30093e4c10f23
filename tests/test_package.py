"""The package as it is installed: what the wheel holds, and that importing registers with torchreid once."""

import importlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import torchreid_rgbir
from torchreid_rgbir import host

REPOSITORY = Path(__file__).parents[1]


def test_names_are_registered_with_torchreid():
    for name, dataset in torchreid_rgbir.DATASETS.items():
        assert host.image_datasets()[name] is dataset
    for name in {*torchreid_rgbir.DATASETS} - {"rgbir_synthetic"}:  # which would be drawn there
        with pytest.raises(FileNotFoundError, match="set data.root"):
            host.data.datasets.init_image_dataset(name, root="nowhere")
    for name in torchreid_rgbir.MODELS:
        assert host.models.build_model(name, 3, loss="softmax", pretrained=False).classifier.out_features == 3


def test_a_second_import_registers_nothing_twice():
    importlib.reload(torchreid_rgbir)


def test_a_name_that_belongs_to_something_else_is_an_error():
    with pytest.raises(ValueError, match="market1501|already exists"):
        host.register_image_dataset("market1501", torchreid_rgbir.DATASETS["sysu_mm01"])
    with pytest.raises(ValueError, match="already has a model resnet50"):
        host.register_model("resnet50", torchreid_rgbir.MODELS["dual_resnet50"])


def test_a_private_that_torchreid_moved_is_named(monkeypatch):
    monkeypatch.delattr(host.models, "__model_factory")
    with pytest.raises(ImportError, match="models.__model_factory is missing"):
        host.register_model("anything", torchreid_rgbir.MODELS["dual_resnet50"])


@pytest.mark.parametrize(
    "found",
    [
        pytest.param("sys.modules['torchreid'] = None", id="missing"),
        pytest.param("sys.modules['torchreid'] = types.ModuleType('torchreid'); sys.modules['torchreid'].__path__ = []", id="empty folder"),
    ],
)  # fmt: skip
def test_without_torchreid_the_import_says_what_to_install(found):
    code = f"import sys, types; sys.path.insert(0, {str(REPOSITORY)!r}); {found}; import torchreid_rgbir"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode != 0
    assert "run `pip install torchreid`" in run.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    subprocess.run(["git", "-C", str(REPOSITORY), "checkout-index", "-a", f"--prefix={source}/"], check=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(build, check=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_configs_and_license_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "torchreid_rgbir/configs/mso_sysu.yaml" in names
    assert "torchreid_rgbir/configs/quickstart.yaml" in names
    assert "torchreid_rgbir/py.typed" in names
    assert "torchreid_rgbir/visual/page.html" in names
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "tools"))]


def test_an_installed_package_finds_its_configs(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import torchreid_rgbir; from torchreid_rgbir import config; print(torchreid_rgbir.__file__); print(config.find('mso_sysu'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    module, found = run.stdout.splitlines()
    assert Path(module).parent == tmp_path / "torchreid_rgbir"
    assert Path(found) == tmp_path / "torchreid_rgbir" / "configs" / "mso_sysu.yaml"


def test_the_wheel_holds_the_licenses(wheel):
    archive = zipfile.ZipFile(wheel)
    names = [name for name in archive.namelist() if ".dist-info/" in name]
    for name in ("LICENSE", "THIRD_PARTY_NOTICES.md"):
        [packed] = [packed for packed in names if packed.endswith(f"/{name}")]
        assert archive.read(packed) == (REPOSITORY / name).read_bytes()


RUN = """
import sys
from pathlib import Path
import torchreid_rgbir
from torchreid_rgbir.cli import main
from torchreid_rgbir.metrics import save_features, TestFeatures
import numpy as np
print(Path(torchreid_rgbir.__file__).parent)
small = "data.height 64 data.width 32 train.batch_size 8 sampler.num_instances 2 sampler.batches_per_epoch 2 train.max_epoch 1"
for words in (
    "synthesize --layout folder --out «data» --ids 10 --images 2 --workers 1",
    f"train --config-file quickstart -s rgbir_folder --root «data» {small} train.warmup_epoch 0 data.save_dir «run»",
    "extract --weights «run»/model/model-best.pth.tar --rgb «data»/test/rgb --ir «data»/test/ir --out «features».npz",
    "evaluate «features».npz --protocol standard --json «scores».json",
):
    assert main([word.replace("«", "é ü_").replace("»", "_漢") for word in words.split()]) == 0, words
"""


@pytest.mark.slow
def test_it_works_from_any_path_in_any_locale_and_writes_nothing_into_itself(wheel, tmp_path):
    package, work = tmp_path / "Größe, 漢字 & spaces", tmp_path / "Bilder für später"
    zipfile.ZipFile(wheel).extractall(package)
    files = sorted(package.rglob("*"))
    for path in files:
        path.chmod(path.stat().st_mode & ~0o222)
    work.mkdir()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-B", "-c", RUN]
    done = subprocess.run(program, capture_output=True, encoding="utf-8", cwd=work, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{package / 'torchreid_rgbir'}\n")
    assert (work / "é ü_scores_漢.json").is_file()
    assert sorted(package.rglob("*")) == files


SETUP = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
REQUIREMENT = re.compile(r'"([\w-]+)(?:>=([\d.]+))?"')


def test_the_oldest_environment_is_what_setup_admits():
    listed = re.search(r"install_requires=\[(.*?)\n    \]", SETUP, re.S)
    floors = {name: floor for name, floor in REQUIREMENT.findall(listed[1]) if floor}
    pinned = dict(line.split("==") for line in (REPOSITORY / ".ci/oldest.txt").read_text().split())
    assert pinned.keys() == floors.keys()
    for name, version in pinned.items():
        assert f"{version}.".startswith(f"{floors[name]}.")


def test_every_dependency_is_in_the_notices():
    blocks = re.findall(
        r"(?:install_requires=|GALLERY = |CLUSTER = |EXPORT = |VISUAL = |DEMO = |VIDEO = )\[(.*?)\]", SETUP, re.S
    )
    names = {name for block in blocks for name, _ in REQUIREMENT.findall(block)}
    notices = (REPOSITORY / "THIRD_PARTY_NOTICES.md").read_text(encoding="utf-8")
    assert {"torch", "lancedb", "pymilvus", "onnx", "matplotlib"} <= names
    assert not [name for name in names if f"| {name} |" not in notices]
