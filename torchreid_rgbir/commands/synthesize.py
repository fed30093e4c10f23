"""Write a synthetic RGB-IR data set in an official layout, to try every command without licensed data."""

import argparse
import shlex

EXAMPLE = "torchreid-rgbir synthesize --layout sysu_mm01 --out data/SYSU-MM01 --ids 100"

# The list is repeated here, because the modules that define it take long to import. A test compares the two lists.
LAYOUTS = (
    *("sysu_mm01", "regdb", "llcm", "folder", "rgbnt100", "rgbn300", "msvr310", "rgbnt201"),
    *("hitsz_vcm", "bupt_campus"),
)
VIDEO, NUM_PEOPLE = "video", 20  # the layout of two videos, and its default number of people
NUM_FRAMES = {"hitsz_vcm": 12, VIDEO: 40}  # the default of --images, for tracks that are long enough
PRESETS = {"standard": 100, "hard": 1000}  # the default number of identities


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--layout",
        required=True,
        choices=(*LAYOUTS, VIDEO),
        help="official layout of folders and lists, or videos with boxes",
    )
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
        help=f"number of identities, of which the last fifth is for testing (regdb: half, in ten splits); "
        f"default {defaults}, {NUM_PEOPLE} (layout video)",
    )
    defaults = ", ".join(f"{num} ({name})" for name, num in NUM_FRAMES.items())
    add("--images", type=int, metavar="K", help=f"images per identity and camera; default 4, {defaults}")
    add("--seed", type=int, default=0, help="a different seed gives different people; default %(default)s")
    add("--workers", type=int, metavar="N", help="processes that render; default: chosen by the number of images")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.synthetic.write import synthesize

    num_images = NUM_FRAMES.get(args.layout, 4) if args.images is None else args.images
    if args.layout == VIDEO:
        return _run_video(args, num_images)
    num_ids = PRESETS[args.preset] if args.ids is None else args.ids
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


def _run_video(args: argparse.Namespace, num_frames: int) -> int:
    from torchreid_rgbir.synthetic.video import synthesize_video

    if args.preset != "standard" or args.workers is not None:
        raise ValueError(
            "layout video has the preset standard only and renders in one process: remove --preset and --workers"
        )
    num_people = NUM_PEOPLE if args.ids is None else args.ids
    synthesize_video(args.out, num_people, num_frames, args.seed)
    print(f"{args.out}: day.mp4 (RGB) and night.mp4 (IR) with {num_people} people, their boxes and photos of them")
    return 0
