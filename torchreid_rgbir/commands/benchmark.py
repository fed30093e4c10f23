"""Measure speed: training steps, the evaluator, search; both sides of each ratio interleaved in one run."""

import argparse
import json
import platform

import torch

from torchreid_rgbir.benchmark.evaluation import evaluation
from torchreid_rgbir.benchmark.step import step
from torchreid_rgbir.metrics import report
from torchreid_rgbir.train import versions

EXAMPLE = "torchreid-rgbir benchmark --only step --batch-size 16 --rounds 3 --json benchmark.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        choices=("step", "evaluation", "search"),
        help="one measurement (default: step and evaluation; search wants the extra `gallery`)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images of a training step (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed (default: %(default)s)")
    parser.add_argument("--json", metavar="OUT", help="write the figures as JSON")


def run(args: argparse.Namespace) -> int:
    if args.rounds < 1:
        raise ValueError(f"--rounds {args.rounds}: time each side at least once")
    if args.json:
        report.check_folder(args.json)
    measured: dict = {"device": f"CPU, {platform.machine()}, {torch.get_num_threads()} threads", "versions": versions()}
    if args.only in (None, "step"):
        _merge(measured, step(batch_size=args.batch_size, rounds=args.rounds))
    if args.only in (None, "evaluation"):
        _merge(measured, evaluation(rounds=args.rounds))
    if args.only == "search":
        from torchreid_rgbir.benchmark.search import search  # its store is an extra

        _merge(measured, search(rounds=args.rounds))
    for name, ratio in measured["ratios"].items():
        low, high = measured["spread"][name]
        print(f"{name:<34}{ratio:>10.3f}   ({low:.3f} to {high:.3f})")
    for name, seconds in measured["medians"].items():
        print(f"{name:<34}{seconds:>10.4f} s")
    for name, recall in measured.get("recalls", {}).items():
        print(f"{name:<34}{recall:>10.4f} recall at 10")
    if args.json:
        report.write_text(args.json, json.dumps(measured, indent=2) + "\n")
    return 0


def _merge(measured: dict, part: dict) -> None:
    for key, value in part.items():
        if isinstance(value, dict):
            measured.setdefault(key, {}).update(value)
        else:
            measured[key] = value
