"""Repeat the experiments of docs/results.md on synthetic people: what each part of the method adds, the patent's
schedule, and a comparison of methods.

Finished runs are kept, and interrupted ones resume.
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
        help=f"any of {', '.join(QUESTIONS)}; default: all, which takes hours on a CPU",
    )
    add_run_arguments(parser, "log/ablation", [], "two to five, as in the documentation")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.ablation import ablation

    out = Path(args.out).expanduser()
    with terminal.stderr_only():
        text = ablation(out, list(dict.fromkeys(args.only)), args.seeds)
    print(terminal.bold_title(text))
    print(f"written to {out / 'ablation.md'}, with a figure and the results of each question beside it")
    return int(" failed: " in text)
