"""Flags that several commands share."""

import argparse
from datetime import datetime

from torchreid_rgbir.integration.registry import import_file
from torchreid_rgbir.retrieval.extractor import Extractor
from torchreid_rgbir.retrieval.reference_table import Filter


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        dest="imported",
        action="append",
        type=import_file,
        metavar="FILE.py",
        help="a file of yours that registers a data set, a backbone or a loss; may be repeated",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", required=True, metavar="CKPT", help="a checkpoint; all else that is needed is in it"
    )
    add_import_argument(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="images computed at a time (default: %(default)s)")
    parser.add_argument("--amp", action="store_true", help="compute in half precision: faster on a GPU")


def load_extractor(args: argparse.Namespace) -> Extractor:
    return Extractor.load(args.weights, amp=args.amp)


def add_where_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("only references of")
    group.add_argument("--category", nargs="+", default=[], metavar="NAME", help="these categories")
    group.add_argument("--camera", nargs="+", type=int, default=[], metavar="N", help="these cameras")
    group.add_argument(
        "--since", type=moment, metavar="TIME", help="this time or later, such as 2026-05-31T08:00+02:00"
    )
    group.add_argument("--until", type=moment, metavar="TIME", help="this time or earlier")


def where(args: argparse.Namespace) -> Filter:
    return Filter(args.category, args.camera, args.since, args.until)


def moment(text: str) -> datetime:
    """A time with its zone, ISO 8601."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time: write it as 2026-05-31T08:00+02:00") from None
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: write {time.isoformat()}+00:00 for UTC")
    return time
