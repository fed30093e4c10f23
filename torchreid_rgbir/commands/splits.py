"""Train and test on RegDB's ten official splits, one after another, and report their mean; a second call goes on where the first stopped."""

import argparse

from torchreid_rgbir import terminal
from torchreid_rgbir.commands import train
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.splits import run_splits

EXAMPLE = "torchreid-rgbir splits --config-file mso_sysu -s regdb --root reid-data data.save_dir log/regdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--splits", type=int, default=10, metavar="N", help="the first N of the ten (default: %(default)s)"
    )
    train.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    with terminal.stderr_only():
        results = run_splits(train.configuration(args), args.splits)
    print(terminal.bold_title(report.terminal_table(results)))
    return 0
