"""Look at a trained model: ranked results, features in the plane, distances, edges, activation, training curves; or all of it on one HTML page."""

import argparse

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_import_argument
from torchreid_rgbir.extras import require
from torchreid_rgbir.modality import IR, RGB

EXAMPLE = "torchreid-rgbir visualize --weights log/mso/model/model-best.pth.tar --out pictures --report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", required=True, metavar="CKPT", help="checkpoint in the folder of its run")
    add_import_argument(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--report", action="store_true", help="write report.html, one page with everything, readable without a network"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PICTURE",
        help="ranked, embedding, separation, stages, activation, curves (default: all)",
    )
    parser.add_argument(
        "--untrained", action="store_true", help="stages: beside the network as it was before training, same seed"
    )
    parser.add_argument("--root", default="", metavar="DIR", help="the data set's folder (default: where it was)")
    parser.add_argument("--rgb", nargs="+", default=[], metavar="FILE", help="RGB images for stages and activation")
    parser.add_argument("--ir", nargs="+", default=[], metavar="FILE", help="IR images for stages and activation")


def run(args: argparse.Namespace) -> int:
    require("visual", "matplotlib", "sklearn", "jinja2")
    from torchreid_rgbir.runs.visualize import visualize

    images = {modality: files for modality, files in ((RGB, args.rgb), (IR, args.ir)) if files}
    with terminal.stderr_only():
        paths = visualize(args.weights, args.out, args.root, args.only, images, args.report, args.untrained)
    for path in paths:
        print(f"written: {path}")
    return 0
