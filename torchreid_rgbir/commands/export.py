"""Export a trained model as an ONNX graph per modality and safetensors, with a loader that does not need torchreid."""

import argparse
from pathlib import Path

from torchreid_rgbir.commands.arguments import add_import_argument

EXAMPLE = "torchreid-rgbir export --weights log/mso/model/model-best.pth.tar --out exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", required=True, metavar="CKPT", help="checkpoint written by `torchreid-rgbir train`")
    add_import_argument(parser)
    add("--out", required=True, metavar="DIR", help="folder to write to")
    add(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="image files or folders to compare the exported features on (default: the training data, if it is there)",
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.benchmark.export import onnx_over_eager
    from torchreid_rgbir.export import export

    out = Path(args.out).expanduser()
    differences = export(args.weights, out, args.images)
    weights = "model.safetensors, " if (out / "model.safetensors").exists() else ""
    print(f"written to {out}: rgb.onnx, ir.onnx, {weights}model.json, and reid_features.py, which loads them")
    for kind, difference in differences.items():
        print(f"largest difference from PyTorch's features on {kind}: {difference:.1e}")
    if "files" not in differences:
        print("compared on random images only, because the training data is not there: give image files with --images")
    measured = onnx_over_eager(args.weights, out)
    onnx, eager = (
        1000 * measured["medians"][side] / 2 for side in ("onnx", "eager")
    )  # a measurement runs both streams
    print(
        f"one image on one CPU thread: ONNX Runtime {onnx:.1f} ms, PyTorch {eager:.1f} ms, "
        f"ratio {measured['ratios']['onnx_over_eager']:.2f} (median of 20, interleaved)"
    )
    return 0
