"""The console script `torchreid-rgbir`. It starts the command line without importing torch, which takes seconds.

It is not part of the package, because importing a module of the package runs the package's __init__, which imports
torch. `main` instead makes the package known to Python without running its __init__. The command line runs it later,
before a command that needs it (`commands.load_package`).
"""

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    """Runs the command line and returns the exit status."""
    try:
        if "torchreid_rgbir" not in sys.modules:
            spec = importlib.util.find_spec("torchreid_rgbir")
            assert spec is not None, "torchreid_rgbir is not installed beside this script"
            package = sys.modules["torchreid_rgbir"] = importlib.util.module_from_spec(spec)
            package.__version__ = read_version(str(spec.origin))  # type: ignore[attr-defined]
        from torchreid_rgbir.cli import main as run
    except KeyboardInterrupt:
        print("torchreid-rgbir: interrupted", file=sys.stderr)
        return 130
    return run()


def read_version(file: str) -> str:
    """Returns the version in the text of the package's __init__."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("__version__"))
