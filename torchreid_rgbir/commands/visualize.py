"""Draw figures of a trained model: ranked results, features in the plane, distances, edges, activation, training curves."""

import argparse

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_import_argument
from torchreid_rgbir.extras import require
from torchreid_rgbir.modality import IR, RGB

EXAMPLE = "torchreid-rgbir visualize --weights log/mso/model/model-best.pth.tar --out figures --report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", required=True, metavar="CKPT", help="a checkpoint in the folder of its run")
    add_import_argument(parser)
    add("--out", required=True, metavar="DIR", help="folder to write to")
    add(
        "--report",
        action="store_true",
        help="write report.html instead, one page with all figures that needs no network",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="FIGURE",
        help="ranked, embedding, separation, stages, activation, curves (default: all)",
    )
    add(
        "--untrained", action="store_true", help="in the figure stages, also show the network as it was before training"
    )
    add("--root", default="", metavar="DIR", help="folder of the data set (default: as in training)")
    add("--rgb", nargs="+", default=[], metavar="FILE", help="RGB images for stages and activation")
    add("--ir", nargs="+", default=[], metavar="FILE", help="IR images for stages and activation")


def run(args: argparse.Namespace) -> int:
    require("visual", "matplotlib", "sklearn", "jinja2")
    from torchreid_rgbir.runs.visualize import visualize

    images = {modality: files for modality, files in ((RGB, args.rgb), (IR, args.ir)) if files}
    with terminal.stderr_only():
        paths = visualize(args.weights, args.out, args.root, args.only, images, args.report, args.untrained)
    for path in paths:
        print(f"written: {path}")
    return 0
