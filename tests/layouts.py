"""Both distributions of torchreid: PyPI's package as installed, and the layout of a GitHub checkout made from it."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def make_checkout(folder: Path) -> Path:
    """Writes torchreid in the layout of a checkout, with `torchreid.*` instead of `torchreid.reid.*`, for PYTHONPATH."""
    installed = Path(str(importlib.metadata.distribution("torchreid").locate_file("torchreid/reid")))
    for source in installed.rglob("*.py"):
        target = folder / "torchreid" / source.relative_to(installed)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        target.write_text(re.sub(r"\btorchreid\.reid\b", "torchreid", text), encoding="utf-8")
    return folder


def python(words: list, cwd: Path, checkout: Path | None = None) -> subprocess.CompletedProcess:
    """Runs `python WORDS...` with PyPI's torchreid, or with the checkout if one is given."""
    path = [str(REPOSITORY), *([str(checkout)] if checkout else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment, timeout=300
    )
