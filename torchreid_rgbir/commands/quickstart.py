"""From nothing to a trained, scored, visible result: synthetic RGB-IR data, all four losses, a small network; two CPU cores are enough."""

import argparse

from torchreid_rgbir import terminal
from torchreid_rgbir.runs.quickstart import quickstart

EXAMPLE = "torchreid-rgbir quickstart --out log/quickstart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="log/quickstart", metavar="DIR", help="where data, run and picture go (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the training (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    with terminal.stderr_only():
        table = quickstart(args.out, args.seed)
    print(table)
    return 0
