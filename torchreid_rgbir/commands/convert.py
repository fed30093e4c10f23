"""Convert a checkpoint of a different project to a checkpoint of this package, or back.

The projects are mangye16/Cross-Modal-Re-ID-baseline (agw, caj), LuckyDC/RGB-IR-ReID-Baseline (luckydc) and workingcoder/MCJA (mcja).
Nothing in the file is executed. A converted checkpoint contains everything that `test`, `extract` and the other commands need.
"""

import argparse
import os
from typing import Any

EXAMPLE = "torchreid-rgbir convert --from agw sysu_agw_p4_n8_lr_0.1_seed_0_best.t --out agw.pth.tar"

# The list is repeated here, because the module that defines it imports torch. A test compares the two lists.
PROJECTS = ("agw", "caj", "luckydc", "mcja")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=os.path.expanduser, help="the file to convert")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--from", dest="source", choices=PROJECTS, help="FILE was written by the code of this project")
    group.add_argument("--to", dest="target", choices=PROJECTS, help="write a file for the code of this project")
    parser.add_argument("--out", required=True, metavar="CKPT", type=os.path.expanduser, help="the file to write")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.files import checkpoint
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.runs import peer_checkpoints

    report.check_folder(args.out)
    if os.path.realpath(args.out) == os.path.realpath(args.file):
        raise ValueError(f"--out is the file to convert, {args.file}: choose a different one")
    if args.target:
        peer_checkpoints.write(args.file, args.target, args.out)
        print(f"written to {args.out}, for the code of {args.target}")
        return 0
    state = peer_checkpoints.read(args.file, args.source)
    checkpoint.save(state, args.out)
    print(describe(state, args.out))
    return 0


def describe(state: dict[str, Any], path: str) -> str:
    """Describes a converted checkpoint, its classifier, and how to test it."""
    from torchreid_rgbir.runs.peer_checkpoints import NUM_TRAINED

    recipe, scores, model = state["recipe"], state["scores"], state["about"]["model"]
    num_classes, expected = model["num_classes"], NUM_TRAINED[recipe.split("_")[-1]]
    lines = [f"written to {path}: {model['name']} with a classifier for {num_classes} identities"]
    if num_classes != expected:
        lines.append(
            f"{recipe} has {expected} identities: `test` with it skips the classifier, which a test does not need"
        )
    if "mAP" in scores:
        lines.append(f"scores in the file: epoch {scores.get('epoch')}, mAP {100 * scores['mAP']:.2f} %")
    lines.append(
        f"to test it: torchreid-rgbir test --config-file {recipe} --root DATA data.save_dir log/test model.load_weights {path}"
    )
    return "\n".join(lines)
