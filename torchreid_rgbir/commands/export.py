"""Export a trained model as ONNX graphs and safetensors with a loader that does not need torchreid, or for the hub."""

import argparse
from pathlib import Path

from torchreid_rgbir.commands.arguments import add_import_argument

PRECISIONS = ("fp32", "fp16", "int8")
EXAMPLE = "torchreid-rgbir export --weights log/mso/model/model-best.pth.tar --out exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--weights", required=True, metavar="CKPT", help="checkpoint written by `torchreid-rgbir train`")
    add_import_argument(parser)
    add("--out", required=True, metavar="DIR", help="folder to write to")
    add(
        "--layout",
        choices=("onnx", "hub"),
        default="onnx",
        help="onnx: ONNX graphs, weights and a loader; hub: weights, configuration and model card as Hugging Face's hub "
        "expects them, read by `--weights DIR` (default: %(default)s)",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="precision of the ONNX graphs. The command then scores PyTorch, fp32 and this precision on the test set. int8 "
        "is calibrated on images of the training set (default: fp32 without a score)",
    )
    add("--root", default="", metavar="DIR", help="folder of the data for --precision (default: that of the training)")
    add(
        "--results",
        default="",
        metavar="JSON",
        help="results.json for the model card of --layout hub (default: that of the run, if it belongs to these weights)",
    )
    add(
        "--images",
        nargs="+",
        default=[],
        metavar="PATH",
        help="image files or folders to compare the exported features on (default: the training data, if it is there)",
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.benchmark.export import onnx_over_eager
    from torchreid_rgbir.benchmark.precision import Row, export_scored, table
    from torchreid_rgbir.export import export, export_hub

    out = Path(args.out).expanduser()
    if args.precision and args.layout == "hub":
        raise ValueError("--precision is for ONNX graphs: remove it, or remove --layout hub")
    if args.root and not args.precision:
        raise ValueError("--root is the data that --precision is scored on: add --precision, or remove --root")
    if args.layout == "hub":
        has_results = export_hub(args.weights, out, args.results)
        print(f"written to {out}: model.safetensors, config.json, and README.md, the model card")
        print(f"results in the model card: {'yes' if has_results else 'none'}; fill in its fields that are unknown")
        return 0
    if args.results:
        raise ValueError("--results fills in the model card of --layout hub: add --layout hub, or remove --results")
    rows: list[Row] = []
    if args.precision:
        rows, differences = export_scored(args.weights, out, args.precision, args.root, args.images)
    else:
        differences = export(args.weights, out, args.images)
    weights = "model.safetensors, " if (out / "model.safetensors").exists() else ""
    print(f"written to {out}: rgb.onnx, ir.onnx, {weights}model.json, and reid_features.py, which loads them")
    for kind, difference in differences.items():
        print(f"largest difference from PyTorch's features on {kind}: {difference:.1e}")
    if "files" not in differences:
        print("compared on random images only, because the training data is not there: give image files with --images")
    if rows:
        print(table(rows))
        return 0
    measured = onnx_over_eager(args.weights, out)
    onnx, eager = (
        1000 * measured["medians"][side] / 2 for side in ("onnx", "eager")
    )  # a measurement runs both streams
    print(
        f"one image on one CPU thread: ONNX Runtime {onnx:.1f} ms, PyTorch {eager:.1f} ms, "
        f"ratio {measured['ratios']['onnx_over_eager']:.2f} (median of 20, interleaved)"
    )
    return 0
