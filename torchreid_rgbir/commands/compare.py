"""Train several methods and score them under one protocol. The methods may include torchreid's own models.

If the command is repeated, it skips finished runs. With --runs, it trains nothing and compares runs that are finished.
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
OUT = "log/compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="mso; mso with fewer losses: id, id+wrt, id+wrt+pef or id+wrt+cmcc (id: identity, wrt: weighted triplet, "
        "pef: perceptual edge, cmcc: contrastive center); or MODEL:softmax or MODEL:triplet, with any model of torchreid "
        f"and its loss (default: {' '.join(METHODS)})",
    )
    parser.add_argument(
        "--runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="compare these finished runs, whose test had test.save_features True, with the first one; files are only "
        "written if --out is given",
    )
    add_run_arguments(parser, OUT, [], "1")
    parser.set_defaults(out="")  # with --runs, nothing is written by default
    train.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.compare import compare, compare_runs, markdown, write
    from torchreid_rgbir.runs.train import path_of
    from torchreid_rgbir.visual.comparison import draw_comparison

    out = Path(args.out or OUT).expanduser()
    if args.runs:
        _check_runs_alone(args)
        found = compare_runs([folder.expanduser() for folder in args.runs])
        if args.out:
            write(found, out)
    else:
        with terminal.stderr_only():
            found = compare(train.configuration(args), args.methods or METHODS, args.seeds or [1], out)
    for target, one in found.items():
        print(terminal.bold_title(markdown(one)))
        if args.runs and not args.out:
            continue
        path = path_of(out / "compare.json", target, found)
        print(f"written to {path.with_suffix('.md')} and {path}")
        if any("mean" in row for row in one["methods"]):
            print(f"plot: {draw_comparison(one, path.with_suffix('.png'))}")
    return int(any("error" in run for one in found.values() for row in one["methods"] for run in row["runs"]))


def _check_runs_alone(args: argparse.Namespace) -> None:
    for name in ("methods", "seeds", "config_file", "sources", "targets", "transforms", "root"):
        if getattr(args, name):
            raise ValueError(f"--{name.replace('_', '-')} has no effect with --runs, which trains nothing: remove it")
    if args.opts:
        raise ValueError(f"{args.opts[0]} has no effect with --runs, which trains nothing: remove it")
