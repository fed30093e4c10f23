"""What the program `torchreid-rgbir` calls. To import the package takes seconds, torch's most of all, and Ctrl-C meanwhile is answered as later."""

import sys


def main() -> int:
    """Runs the command line; returns the exit status."""
    try:
        from torchreid_rgbir.cli import main as run
    except KeyboardInterrupt:
        print("torchreid-rgbir: interrupted", file=sys.stderr)
        return 130
    return run()
