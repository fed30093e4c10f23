"""Compares methods: `torchreid-rgbir compare` as a script."""

import sys

from torchreid_rgbir.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
