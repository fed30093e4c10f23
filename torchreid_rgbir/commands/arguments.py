"""Flags that several commands share."""

import argparse
import math
import os
from datetime import datetime
from typing import TYPE_CHECKING

from torchreid_rgbir.commands import load_package
from torchreid_rgbir.files.times import parse_time
from torchreid_rgbir.modality import NAMES

if TYPE_CHECKING:
    from torchreid_rgbir.data.video import Frames
    from torchreid_rgbir.retrieval.boxes import Boxes
    from torchreid_rgbir.retrieval.extractor import Extractor
    from torchreid_rgbir.retrieval.reference_table import Filter

# Control characters, and the two separators of Unicode at which programs break lines.
_ESCAPES = {
    code: chr(code).encode("unicode_escape").decode() for code in (*range(32), *range(127, 160), 0x2028, 0x2029)
}


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        dest="imported",
        action="append",
        type=_import_file,
        metavar="FILE.py",
        help="a Python file that registers a data set, a backbone or a loss; may be repeated",
    )


def _import_file(file: str) -> None:
    load_package()  # the file registers its parts with the package
    from torchreid_rgbir.integration.registry import import_file

    import_file(file)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        required=True,
        metavar="CKPT",
        help="a checkpoint, which also contains architecture, image size and normalization",
    )
    add_import_argument(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="images per forward pass (default: %(default)s)")
    parser.add_argument("--amp", action="store_true", help="use mixed precision; it is faster on a GPU")


def add_image_arguments(parser: argparse.ArgumentParser, topk: str) -> None:
    add = parser.add_argument
    add("--image", required=True, nargs="+", metavar="X", help="images, or folders of images")
    add_modality_argument(parser)
    add("--topk", type=int, default=10, metavar="N", help=f"{topk} per image (default: %(default)s)")


def add_modality_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--modality", required=True, choices=NAMES, help="modality of the images")


def add_result_arguments(parser: argparse.ArgumentParser, picture: str) -> None:
    parser.add_argument("--json", type=os.path.expanduser, metavar="OUT", help="write the results as JSON")
    parser.add_argument("--save-picture", type=os.path.expanduser, metavar="OUT.png", help=picture)


def check_threshold(threshold: float | None) -> None:
    """Raises ValueError if a threshold is NaN, which no score reaches."""
    if threshold is not None and math.isnan(threshold):
        raise ValueError("--threshold is nan: give a score between -1 and 1")


def add_track_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--min-confidence",
        type=float,
        metavar="C",
        help="skip boxes with a lower confidence (default: skip none)",
    )
    add(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="use only the first of every N boxes of a track, which is faster (default: %(default)s)",
    )


def add_reference_arguments(parser: argparse.ArgumentParser) -> None:
    source = "references: a folder with one subfolder per category, a CSV file (docs/guide.md) or a gallery"
    modality = "modality of the references; needed unless --reference is a gallery"
    parser.add_argument("--reference", required=True, metavar="X", help=source)
    parser.add_argument("--reference-modality", choices=NAMES, help=modality)


def add_run_arguments(parser: argparse.ArgumentParser, out: str, seeds: list[int], default: str = "") -> None:
    default = default or " ".join(map(str, seeds))
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=seeds, metavar="N", help=f"seeds of the runs (default: {default})"
    )
    parser.add_argument("--out", default=out, metavar="DIR", help=f"folder for all runs (default: {out})")


def open_video(video: str, boxes: str, min_confidence: float | None) -> "tuple[Frames, Boxes]":
    """Reads the boxes and opens the video, before any long work."""
    from torchreid_rgbir.data.video import Frames
    from torchreid_rgbir.retrieval.boxes import read_boxes

    return Frames(video), read_boxes(boxes, min_confidence)


def load_extractor(args: argparse.Namespace) -> "Extractor":
    from torchreid_rgbir.retrieval.extractor import Extractor

    return Extractor.load(args.weights, amp=args.amp)


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("select references")
    group.add_argument("--category", nargs="+", default=[], metavar="NAME", help="only these categories")
    group.add_argument("--camera", nargs="+", type=int, default=[], metavar="N", help="only these cameras")
    group.add_argument(
        "--since", type=moment, metavar="TIME", help="only at or after TIME, for example 2026-05-31T08:00+02:00"
    )
    group.add_argument("--until", type=moment, metavar="TIME", help="only at or before TIME")


def printable(text: str) -> str:
    """Returns text that every terminal prints in one line and one cell.

    A name that is not UTF-8 shows its bytes as escapes. Line breaks, tabs and other control characters are escapes too.

    Examples:
        >>> print(printable("two\\nlines\\tand cells"))
        two\\nlines\\tand cells
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").translate(_ESCAPES)


def filter_of(args: argparse.Namespace) -> "Filter":
    from torchreid_rgbir.retrieval.reference_table import Filter

    return Filter(args.category, args.camera, args.since, args.until)


def moment(text: str) -> datetime:
    """An argparse type for ISO 8601 times with their zone."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
