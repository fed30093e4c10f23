"""Measure speed: loading, training steps by parts, evaluation and search; both sides of each ratio interleaved in one run."""

import argparse
import json
import logging
import platform
from collections.abc import Callable

import torch

from torchreid_rgbir.benchmark.endurance import endurance
from torchreid_rgbir.benchmark.evaluation import evaluation
from torchreid_rgbir.benchmark.growth import growth
from torchreid_rgbir.benchmark.loader import loader
from torchreid_rgbir.benchmark.step import step
from torchreid_rgbir.extras import require
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.provenance import versions

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir benchmark --only loader step --batch-size 16 --rounds 3 --json benchmark.json"


def _search(args: argparse.Namespace) -> dict:
    from torchreid_rgbir.benchmark.search import search  # its store is an extra

    return search(rounds=args.rounds)


PEAK = "evaluation_peak_bytes"  # where the benchmark's readers look for it

PARTS: dict[str, Callable[[argparse.Namespace], dict]] = {
    "loader": lambda args: loader(rounds=args.rounds),
    "step": lambda args: step(batch_size=args.batch_size, rounds=args.rounds),
    "endurance": lambda args: endurance(),
    "growth": lambda args: growth(rounds=args.rounds),
    "evaluation": lambda args: evaluation(rounds=args.rounds),
    "search": _search,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=[part for part in PARTS if part != "search"],
        metavar="PART",
        help=f"of {', '.join(PARTS)} (default: all but search, which wants the extra `gallery`)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images of a training step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed (default: %(default)s)")
    parser.add_argument("--json", metavar="OUT", help="write the figures as JSON")


def run(args: argparse.Namespace) -> int:
    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds}: time each side at least once")
    if args.batch_size % 8 or args.batch_size < 16:
        raise ValueError(f"--batch-size {args.batch_size}: give a multiple of 8, at least 16")
    if "search" in args.only:
        require("gallery", "lancedb")  # before the other parts are timed
    if args.json:
        report.check_folder(args.json)
    parts = [part for part in PARTS if part in args.only]  # the search, which takes the most memory, last
    measured: dict = {"device": device(), "versions": versions()}
    for number, part in enumerate(parts, start=1):
        logger.info("measuring %s, %d of %d", part, number, len(parts))
        _merge(measured, PARTS[part](args))
    for name, ratio in measured["ratios"].items():
        low, high = measured["spread"][name]
        print(f"{name:<40}{ratio:>10.3f}   ({low:.3f} to {high:.3f})")
    for name, seconds in measured["medians"].items():
        print(f"{name:<40}{seconds:>10.4f} s")
    for name, number in measured.get("images_per_second", {}).items():
        print(f"{name:<40}{number:>10.0f} images/s")
    peaks = {"evaluation_peak": measured[PEAK]} if PEAK in measured else {}
    for name, num_bytes in (measured.get("memory", {}) | peaks).items():
        print(f"{name:<40}{num_bytes / 2**20:>10.0f} MiB")
    for name, recall in measured.get("recalls", {}).items():
        print(f"{name:<40}{recall:>10.4f} recall at 10")
    if args.json:
        report.write_text(args.json, json.dumps(measured, indent=2) + "\n")
    return 0


def device() -> str:
    """What the figures are of."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"


def _merge(measured: dict, part: dict) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            measured.setdefault(key, {}).update(value)
        else:
            measured[key] = value
