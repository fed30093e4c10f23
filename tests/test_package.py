"""The package as it is installed: what the wheel holds, and that importing registers with torchreid once."""

import importlib
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
        assert host.find_image_dataset(name) is dataset
    for name in {*torchreid_rgbir.DATASETS} - {"rgbir_synthetic"}:  # which would be drawn there
        with pytest.raises(FileNotFoundError, match="set data.root"):
            host.data.datasets.init_image_dataset(name, root="nowhere")
    for name in torchreid_rgbir.MODELS:
        assert host.models.build_model(name, 3, loss="softmax", pretrained=False).classifier.out_features == 3


def test_a_second_import_registers_nothing_twice():
    importlib.reload(torchreid_rgbir)


def test_a_name_taken_by_somebody_else_is_an_error():
    with pytest.raises(ValueError, match="market1501|already exists"):
        host.register_image_dataset("market1501", torchreid_rgbir.DATASETS["sysu_mm01"])
    with pytest.raises(ValueError, match="already has a model resnet50"):
        host.register_model("resnet50", torchreid_rgbir.MODELS["dual_resnet50"])


def test_a_private_that_torchreid_moved_is_named(monkeypatch):
    monkeypatch.delattr(host.models, "__model_factory")
    with pytest.raises(ImportError, match="models.__model_factory is gone"):
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


def test_the_wheel_holds_configs_and_licence_and_no_tests(wheel):
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
