"""Scores features extracted by any model under a data set's protocol: `torchreid-rgbir evaluate` as a script."""

import sys

from torchreid_rgbir.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
