"""Measure speed: the start, loading, training steps by parts, evaluation and search.

The two sides of each ratio take turns in one run.
"""

import argparse
import json
import logging
from importlib import import_module

from torchreid_rgbir.extras import require

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir benchmark --only loader step --batch-size 16 --rounds 3 --json benchmark.json"

PEAK = "evaluation_peak_bytes"  # a key of the JSON file

# Part: its module and function, and the flags that it takes. The search needs the most memory and is last.
PARTS = {
    "start": ("start.start", ("rounds",)),
    "loader": ("loader.loader", ("rounds",)),
    "step": ("step.step", ("batch_size", "rounds")),
    "recipes": ("recipes.recipes", ("rounds",)),
    "endurance": ("stability.stability", ()),
    "growth": ("scaling.scaling", ("rounds",)),
    "evaluation": ("evaluation.evaluation", ("rounds",)),
    "search": ("search.search", ("rounds",)),
}

# Parts that need an extra, and a package of it. They are measured only if they are named.
EXTRAS = {"recipes": ("timm", "timm"), "search": ("gallery", "lancedb")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=[part for part in PARTS if part not in EXTRAS],
        metavar="PART",
        help=f"any of {', '.join(PARTS)} (default: all but recipes, which needs the extra `timm`, and search, which needs the "
        "extra `gallery`)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images in a training step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="number of timings of each side (default: %(default)s)")
    parser.add_argument("--json", metavar="OUT", help="write the figures to a JSON file")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.benchmark.timing import merge
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.runs.provenance import device_name, versions

    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds}: give a number of at least 1")
    if args.batch_size % 8 or args.batch_size < 16:
        raise ValueError(f"--batch-size {args.batch_size}: give a multiple of 8, at least 16")
    for part, needed in EXTRAS.items():
        if part in args.only:
            require(*needed)  # before the other parts are timed
    if args.json:
        report.check_folder(args.json)
    parts = [part for part in PARTS if part in args.only]
    measured: dict = {"device": device_name(), "versions": versions()}
    for number, part in enumerate(parts, start=1):
        logger.info("measuring %s, %d of %d", part, number, len(parts))
        path, flags = PARTS[part]
        module, _, function = path.partition(".")
        measure = getattr(import_module(f"torchreid_rgbir.benchmark.{module}"), function)
        merge(measured, measure(**{flag: getattr(args, flag) for flag in flags}))
    for name, ratio in measured["ratios"].items():
        low, high = measured["spread"][name]
        print(f"{name:<40}{ratio:>10.3f}   ({low:.3f} to {high:.3f})")
    limits = measured.get("limits", {})
    memory = measured.get("memory", {})
    if PEAK in measured:
        memory = memory | {"evaluation_peak": measured[PEAK]}
    mebibytes = {name: num_bytes / 2**20 for name, num_bytes in memory.items()}
    for values, digits, unit in (
        (measured["medians"], 4, "s"),
        (measured.get("images_per_second", {}), 0, "images/s"),
        (mebibytes, 0, "MiB"),
        (measured.get("recalls", {}), 4, "recall at 10"),
    ):
        for name, value in values.items():
            limit, what = limits.get(name, (0, "")) if unit == "s" else (0, "")
            beside = f"   limit {limit:.{digits}f} {unit}: {what}" if what else ""
            print(f"{name:<40}{value:>10.{digits}f} {unit}{beside}")
    if args.json:
        report.write_text(args.json, json.dumps(measured, indent=2) + "\n")
    return 0
