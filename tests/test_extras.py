"""Without the packages of an extra, everything else works, and the error says which extra to install."""

import json
import subprocess
import sys

import pytest

# Optional package: the extra that installs it. (torch also installs jinja2.)
EXTRAS = {
    "lancedb": "gallery",
    "pyarrow": "gallery",
    "pymilvus": "cluster",
    "milvus_lite": "cluster",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "safetensors": "export",
    "matplotlib": "visual",
    "sklearn": "visual",
    "jinja2": "visual",
    "av": "video",
    "gradio": "demo",
    "huggingface_hub": "hub",
}
# Modules that cannot be imported without their extra.
VISUAL = ("activation", "curves", "embedding", "figure", "page", "samples", "separation", "stages")
NEEDING = {
    "retrieval.lance": "gallery",
    "retrieval.lance_index": "gallery",
    "retrieval.lance_schema": "gallery",
    "retrieval.milvus": "cluster",
    "runs.visualize": "visual",
    "demo.render": "visual",
    "demo.page": "visual",
    **{f"visual.{name}": "visual" for name in VISUAL},
}
COMMANDS = {
    "visualize --weights w --out pictures": "visual",
    "export --weights w --out exported": "export",
    "export --layout hub --weights w --out model": "hub",
    "extract --weights hf://org/name --rgb photos --ir photos --out features.npz": "hub",
    "demo --weights w --reference photos": "demo",
    "gallery list people.gallery": "gallery",
    "gallery list http://localhost:19530": "cluster",
    "benchmark --only search": "gallery",
    "synthesize --layout video --out walk --ids 1 --images 2": "video",
}
pytestmark = pytest.mark.slow  # every module is imported
PROGRAM = """
import contextlib, importlib, io, json, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as if it were not installed
import torchreid_rgbir
from torchreid_rgbir.cli import main

failed = {}
for module in pkgutil.walk_packages(torchreid_rgbir.__path__, "torchreid_rgbir."):
    if module.name != "torchreid_rgbir.__main__":
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            failed[module.name.removeprefix("torchreid_rgbir.")] = str(error)
printed = {}
for command in sys.argv[2:]:
    with contextlib.redirect_stderr(io.StringIO()) as error:
        printed[command] = [main(command.split()), error.getvalue()]
json.dump([failed, printed], sys.stdout)
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Returns which modules cannot be imported and why, and the exit status and message of each command."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(EXTRAS), *COMMANDS],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("empty"),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_only_modules_that_need_an_extra_fail_and_they_name_it(without):
    failed, _ = without
    assert failed.keys() == NEEDING.keys()
    for name, message in failed.items():
        assert f"is not installed: run `pip install 'torchreid-rgbir[{NEEDING[name]}]'`" in message


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_needs_an_extra_names_it_in_one_line(without, command):
    _, printed = without
    status, error = printed[command]
    assert status == 2 and error.count("\n") == 1
    assert error.startswith(f"torchreid-rgbir {command.split()[0]}: error: ")
    assert f"run `pip install 'torchreid-rgbir[{COMMANDS[command]}]'`" in error
