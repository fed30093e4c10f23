"""Writes a synthetic RGB-IR data set in an official layout, so that everything can be tried without licensed data."""

import argparse
import shlex

EXAMPLE = "torchreid-rgbir synthesize --layout sysu_mm01 --out data/SYSU-MM01 --ids 100"

# Written out, because the modules that define them take long to import. A test compares them.
LAYOUTS = (
    *("sysu_mm01", "regdb", "llcm", "folder", "rgbnt100", "rgbn300", "msvr310", "rgbnt201"),
    *("hitsz_vcm", "bupt_campus"),
)
NUM_FRAMES = {"hitsz_vcm": 12}  # the default of --images, for tracks that are long enough
PRESETS = {"standard": 100, "hard": 1000}  # the default number of identities


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--layout", required=True, choices=LAYOUTS, help="official layout of folders and lists")
    add("--out", required=True, metavar="DIR", help="folder to create; it must be new or empty")
    add(
        "--preset",
        choices=PRESETS,
        default="standard",
        help="hard: people are occluded, seen from all sides, in low light, noisy and blurred; default %(default)s",
    )
    defaults = ", ".join(f"{num_ids} ({name})" for name, num_ids in PRESETS.items())
    add(
        "--ids",
        type=int,
        metavar="N",
        help=f"number of identities, of which the last fifth is for testing (regdb: half, in ten splits); default {defaults}",
    )
    add("--images", type=int, default=4, metavar="K", help="images per identity and camera; default %(default)s")
    add("--seed", type=int, default=0, help="a different seed gives different people; default %(default)s")
    add("--workers", type=int, metavar="N", help="processes that render; default: chosen by the number of images")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.synthetic.write import synthesize

    num_ids = PRESETS[args.preset] if args.ids is None else args.ids
    num_images = NUM_FRAMES.get(args.layout, 4) if args.images is None else args.images
    made = synthesize(args.layout, args.out, num_ids, num_images, args.seed, workers=args.workers, preset=args.preset)
    dataset = "rgbir_folder" if args.layout == "folder" else args.layout
    root = shlex.quote(args.out)
    split = "in each of 10 splits" if args.layout == "regdb" else "in all"
    print(
        f"{args.out}: {made['num_rgb_images']} RGB and {made['num_ir_images']} IR images of {made['num_ids']} identities; "
        f"{made['num_train_ids']} train, {made['num_test_ids']} test {split}"
    )
    print(f"next: torchreid-rgbir doctor --dataset {dataset} --root {root}")
    return 0
