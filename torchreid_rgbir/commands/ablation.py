"""Measure what each part of the method adds: train and score it part by part on synthetic people.

Finished runs are kept.
"""

import argparse
from pathlib import Path

from torchreid_rgbir import terminal
from torchreid_rgbir.runs.methods import QUESTIONS

EXAMPLE = "torchreid-rgbir ablation --only parts --seeds 1 2 3 --out log/ablation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        choices=QUESTIONS,
        default=list(QUESTIONS),
        metavar="QUESTION",
        help=f"any of {', '.join(QUESTIONS)}; default: all, which takes some hours on a CPU",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[1, 2, 3, 4, 5],
        metavar="N",
        help="seeds of the runs; default: 1 2 3 4 5",
    )
    parser.add_argument(
        "--out", default="log/ablation", metavar="DIR", help="folder for all runs (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.ablation import ablation

    out = Path(args.out).expanduser()
    with terminal.stderr_only():
        text = ablation(out, args.seeds, list(dict.fromkeys(args.only)))
    print(terminal.bold_title(text))
    print(f"written to {out / 'ablation.md'} and {out / 'ablation.png'}")
    return int(" failed: " in text)
