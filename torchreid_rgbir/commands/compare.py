"""Train several methods and score them under one protocol. The methods may include torchreid's own models.

If the command is repeated, it skips finished runs.
"""

import argparse
from pathlib import Path

from torchreid_rgbir import terminal
from torchreid_rgbir.commands import train
from torchreid_rgbir.commands.arguments import add_run_arguments
from torchreid_rgbir.runs.methods import METHODS

EXAMPLE = (
    "torchreid-rgbir compare --methods mso id+wrt resnet50:triplet osnet_x1_0:softmax --seeds 1 2 3 --out log/compare "
    "--config-file mso_plus_sysu --root reid-data train.amp off train.ema 0"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(METHODS),
        metavar="METHOD",
        help="mso; mso with fewer losses: id, id+wrt, id+wrt+pef or id+wrt+cmcc (id: identity, wrt: weighted triplet, "
        "pef: perceptual edge, cmcc: contrastive center); or MODEL:softmax or MODEL:triplet, with any model of torchreid "
        f"and its loss (default: {' '.join(METHODS)})",
    )
    add_run_arguments(parser, "log/compare", [1])
    train.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.compare import compare, markdown
    from torchreid_rgbir.runs.train import path_of
    from torchreid_rgbir.visual.comparison import draw_comparison

    out = Path(args.out).expanduser()
    with terminal.stderr_only():
        found = compare(train.configuration(args), args.methods, args.seeds, out)
    for target, one in found.items():
        path = path_of(out / "compare.json", target, found)
        print(terminal.bold_title(markdown(one)))
        print(f"written to {path.with_suffix('.md')} and {path}")
        if any("mean" in row for row in one["methods"]):
            print(f"plot: {draw_comparison(one, path.with_suffix('.png'))}")
    return int(any("error" in run for one in found.values() for row in one["methods"] for run in row["runs"]))
