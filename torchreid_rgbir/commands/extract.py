"""Extract features of any images to an .npz file that `evaluate` and other programs can read."""

import argparse
import os

from torchreid_rgbir.commands.arguments import add_model_arguments, load_extractor
from torchreid_rgbir.modality import NAMES

EXAMPLE = "torchreid-rgbir extract --weights model-best.pth.tar --rgb photos/rgb --ir photos/ir --out features.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    for name in NAMES:
        parser.add_argument(
            f"--{name}",
            nargs="+",
            default=[],
            metavar="X",
            help=f"{name.upper()} images or folders ID/**/*.jpg; ID is the identity (junk if negative), a file prefix cN_ gives the camera. "
            "Or .csv files with the columns path and category, and optionally camera and track",
        )
    parser.add_argument("--out", required=True, type=os.path.expanduser, metavar="FEATURES.npz", help="file to write")
    parser.add_argument("--no-normalize", action="store_true", help="do not scale features to length 1")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.metrics import report, save_features
    from torchreid_rgbir.metrics.tracks import mean_of_tracks
    from torchreid_rgbir.retrieval.extractor import extract

    images = {name: getattr(args, name) for name in NAMES if getattr(args, name)}
    if not images:
        raise ValueError("no image is given: give some with --rgb, --ir or both")
    report.check_folder(args.out)
    data = extract(load_extractor(args), images, args.batch_size, normalize=not args.no_normalize)
    save_features(args.out, data)
    counts = ", ".join(f"{(data.modalities == i).sum()} {name.upper()}" for i, name in enumerate(NAMES))
    used = data.without_junk()
    junk = f", {len(data) - len(used)} of them junk," if len(used) < len(data) else ""
    tracks = "" if data.tracks is None else f" in {len(mean_of_tracks(data))} tracks"
    print(
        f"{len(data)} images ({counts}){tracks}{junk} of {len(set(used.pids))} identities: "
        f"{data.features.shape[1]} numbers each, in {args.out}"
    )
    return 0
