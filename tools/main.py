"""Trains or tests: `torchreid-rgbir train` as a script, with the flags of torchreid's scripts/main.py."""

import sys

from torchreid_rgbir.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
