"""Writes a synthetic RGB-IR data set in an official layout, to try everything without the licensed data."""

import argparse
import shlex

EXAMPLE = "torchreid-rgbir synthesize --layout sysu_mm01 --out data/SYSU-MM01 --ids 100"

# Written out, because the modules that define them take long to import. A test compares them.
LAYOUTS = ("sysu_mm01", "regdb", "llcm", "folder")
PRESETS = {"standard": 100, "hard": 1000}  # the default number of identities


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--layout", required=True, choices=LAYOUTS, help="whose folders and lists to write")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make; must be new or empty")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="standard",
        help="hard: occluded, from all sides, in low light, noisy, blurred; default %(default)s",
    )
    defaults = ", ".join(f"{num_ids} ({name})" for name, num_ids in PRESETS.items())
    parser.add_argument(
        "--ids",
        type=int,
        metavar="N",
        help=f"identities in all, the last fifth for testing (regdb: half of them, ten splits); default {defaults}",
    )
    parser.add_argument(
        "--images", type=int, default=4, metavar="K", help="images per identity and camera; default %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one gives other people; default %(default)s")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that draw; default: chosen by the work")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.synthetic.write import synthesize

    num_ids = PRESETS[args.preset] if args.ids is None else args.ids
    made = synthesize(args.layout, args.out, num_ids, args.images, args.seed, workers=args.workers, preset=args.preset)
    dataset = "rgbir_folder" if args.layout == "folder" else args.layout
    root = shlex.quote(args.out)
    split = "in each of 10 splits" if args.layout == "regdb" else "in all"
    print(
        f"{args.out}: {made['num_rgb_images']} RGB and {made['num_ir_images']} IR images of {made['num_ids']} identities; "
        f"{made['num_train_ids']} train, {made['num_test_ids']} test {split}"
    )
    print(f"next: torchreid-rgbir doctor --dataset {dataset} --root {root}")
    return 0
