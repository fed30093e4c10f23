"""Train or test: torchreid's scripts/main.py for cross-modal data; the same as `torchreid-rgbir train`."""

import sys

from torchreid_rgbir.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
