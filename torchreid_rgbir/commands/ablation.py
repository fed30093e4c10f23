"""Measure what each part of the method adds: train and score it part by part on synthetic people.

Finished runs are kept.
"""

import argparse
from pathlib import Path

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_run_arguments
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
    add_run_arguments(parser, "log/ablation", [1, 2, 3, 4, 5])


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.ablation import ablation

    out = Path(args.out).expanduser()
    with terminal.stderr_only():
        text = ablation(out, args.seeds, list(dict.fromkeys(args.only)))
    print(terminal.bold_title(text))
    print(f"written to {out / 'ablation.md'} and {out / 'ablation.png'}")
    return int(" failed: " in text)
