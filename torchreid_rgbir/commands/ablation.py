"""Ask what each part of the method brings: train and score it part by part on synthetic people; finished runs are kept."""

import argparse
from pathlib import Path

from torchreid_rgbir import terminal
from torchreid_rgbir.runs.ablation import QUESTIONS, ablation

EXAMPLE = "torchreid-rgbir ablation --only parts --seeds 1 2 3 --out log/ablation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        choices=QUESTIONS,
        default=list(QUESTIONS),
        metavar="QUESTION",
        help=f"of {', '.join(QUESTIONS)}; default: all, some hours on a CPU",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5], metavar="N", help="default: 1 2 3 4 5")
    parser.add_argument(
        "--out", default="log/ablation", metavar="DIR", help="folder of all runs (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    out = Path(args.out).expanduser()
    with terminal.stderr_only():
        text = ablation(out, args.seeds, list(dict.fromkeys(args.only)))
    print(terminal.bold_title(text))
    print(f"as files: {out / 'ablation.md'}, {out / 'ablation.png'}")
    return int(" failed: " in text)
