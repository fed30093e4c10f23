"""The console script starts the command line without running the package's __init__."""

import subprocess
import sys
from pathlib import Path

START = Path(__file__).parents[1] / "torchreid_rgbir_start.py"
PROGRAM = "import sys, torchreid_rgbir_start; sys.exit(torchreid_rgbir_start.main())"


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(tmp_path):
    package = tmp_path / "torchreid_rgbir"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('this must not run')")
    (package / "cli.py").write_text("raise KeyboardInterrupt")
    (tmp_path / START.name).write_text(START.read_text())
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "torchreid-rgbir: interrupted\n")
