"""Train and test on RegDB's ten official splits, one after another, and report their mean.

A second call resumes where the first one stopped.
"""

import argparse
import sys

from torchreid_rgbir import terminal
from torchreid_rgbir.commands import train

EXAMPLE = "torchreid-rgbir splits --config-file mso_sysu -s regdb --root reid-data data.save_dir log/regdb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--splits", type=int, default=10, metavar="N", help="use the first N of the ten splits (default: %(default)s)"
    )
    train.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.runs.splits import run_splits

    with terminal.stderr_only():
        results = run_splits(train.configuration(args), args.splits)
    print(terminal.bold_title(report.terminal_table(results, terminal.width(sys.stdout))))
    return 0
