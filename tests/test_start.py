"""The console script starts the command line without running the package's __init__."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from torchreid_rgbir import DATASETS
from torchreid_rgbir.commands import COMMANDS, doctor, evaluate, synthesize
from torchreid_rgbir.metrics.distance import METRICS
from torchreid_rgbir.protocols.sysu_mm01 import SHOTS
from torchreid_rgbir.synthetic.layouts import LAYOUTS
from torchreid_rgbir.synthetic.render import PRESETS

START = Path(__file__).parents[1] / "torchreid_rgbir_start.py"
PROGRAM = "import sys, torchreid_rgbir_start; sys.exit(torchreid_rgbir_start.main())"


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(tmp_path):
    package = tmp_path / "torchreid_rgbir"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = \"1.0\"\nraise RuntimeError('this must not run')")
    (package / "cli.py").write_text("raise KeyboardInterrupt")
    (tmp_path / START.name).write_text(START.read_text())
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "torchreid-rgbir: interrupted\n")


# Also prints which of these packages were imported.
HEAVY = ("torch", "torchvision", "torchreid", "matplotlib", "lancedb", "scipy")
LIGHT = f"""
import sys, torchreid_rgbir_start
try:
    status = torchreid_rgbir_start.main()
except SystemExit as stop:
    status = stop.code
print(status, *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def start(words, *path, program=LIGHT):
    """Runs the console script; with `path`, Python looks for packages in these folders first."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), str(START.parent)])}
    return subprocess.run([sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(name):
    run = start([name, "--help"])
    assert run.stderr == "0\n" and f"example: torchreid-rgbir {name}" in run.stdout


@pytest.mark.parametrize(
    ("words", "status", "printed"),
    [
        (["--help"], 0, "commands:"),
        (["--version"], 0, "torchreid-rgbir 0."),
        (["completion", "bash"], 0, "_shtab_torchreid_rgbir"),
        (["nosuch"], 2, ""),
        (["quickstart", "--nosuch"], 2, ""),
        (["synthesize", "--layout", "nosuch"], 2, ""),
        (["evaluate", "nosuch.npz"], 2, ""),
        (["published"], 0, "AGW"),
    ],
)
def test_other_words_import_nothing_heavy(words, status, printed):
    run = start(words)
    imported = run.stderr.splitlines()[-1].split()
    assert imported[0] == str(status) and not {"torch", "torchreid", "matplotlib", "lancedb"} & set(imported)
    assert printed in run.stdout


def test_evaluate_and_galleries_work_without_torch(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ImportError('libtorch_cpu.so: cannot open shared object file')"
    )
    rng = np.random.default_rng(0)
    rows = {"pids": [1, 1, 2, 2], "camids": [1, 2, 1, 2], "modalities": [0, 1, 0, 1]}
    np.savez(tmp_path / "features.npz", features=rng.standard_normal((4, 3)), **rows)
    run = start(["evaluate", str(tmp_path / "features.npz"), "--protocol", "standard"], tmp_path)
    assert run.stdout.startswith("standard: ") and run.stderr.startswith("0")

    pytest.importorskip("lancedb")
    from torchreid_rgbir.retrieval import Gallery, ReferenceTable

    gallery = Gallery.create(tmp_path / "g", "0" * 32, 2, "rgb")
    gallery.add(np.eye(2, dtype=np.float32), ReferenceTable.of(["/a.jpg", "/b.jpg"], ["a", "b"]))
    for words, printed in (
        (["list", str(tmp_path / "g")], "2 rgb images"),
        (["remove", str(tmp_path / "g"), "--category", "a"], "removed 1 images"),
        (["compact", str(tmp_path / "g")], "1 images in"),
    ):
        run = start(["gallery", *words], tmp_path)
        assert printed in run.stdout and "torch" not in run.stderr.split()


def test_a_broken_torch_is_one_line(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ImportError('libtorch_cpu.so: cannot open shared object file')"
    )
    assert start(["train", "--help"], tmp_path, program=PROGRAM).returncode == 0
    run = start(["quickstart", "--out", str(tmp_path / "out")], tmp_path, program=PROGRAM)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "torchreid-rgbir quickstart: error: torch cannot be imported (libtorch_cpu.so: cannot open shared object file): "
        "reinstall it with `pip install --force-reinstall torch`\n"
    )


def test_the_names_that_commands_write_out_are_those_of_the_package():
    assert set(doctor.LAYOUTS) == set(DATASETS)
    assert tuple(LAYOUTS) == synthesize.LAYOUTS
    assert {name: preset.num_ids for name, preset in PRESETS.items()} == synthesize.PRESETS
    assert (set(evaluate.SAMPLINGS), evaluate.DISTANCES) == (set(SHOTS), METRICS)
