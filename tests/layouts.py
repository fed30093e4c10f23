"""Both distributions of torchreid on one machine: PyPI's package as installed, and the layout of a GitHub checkout, made from it."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def make_checkout(folder: Path) -> Path:
    """Writes torchreid as a checkout has it, `torchreid.*` for PyPI's `torchreid.reid.*`; returns what goes on PYTHONPATH."""
    installed = Path(str(importlib.metadata.distribution("torchreid").locate_file("torchreid/reid")))
    for source in installed.rglob("*.py"):
        target = folder / "torchreid" / source.relative_to(installed)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        target.write_text(re.sub(r"\btorchreid\.reid\b", "torchreid", text), encoding="utf-8")
    return folder


def python(words: list, cwd: Path, checkout: Path | None = None) -> subprocess.CompletedProcess:
    """Runs `python WORDS...` in a process of its own; with `checkout` torchreid is that one, else PyPI's."""
    path = [str(REPOSITORY), *([str(checkout)] if checkout else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300
    )
