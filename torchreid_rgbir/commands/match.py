"""Find the tracks of two cameras that show the same person or object.

Each track gets at most one partner. The boxes come from a tracker, in MOT format.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from torchreid_rgbir.commands import arguments
from torchreid_rgbir.modality import NAMES

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.tracks import Track

EXAMPLE = (
    "torchreid-rgbir match --weights model-best.pth.tar --a day.mp4 --a-boxes day.txt --a-modality rgb "
    "--b night.mp4 --b-boxes night.txt --b-modality ir"
)
NUM_EXAMPLES = 3  # images of each track in the figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_model_arguments(parser)
    for side in ("a", "b"):
        camera = f"camera {side.upper()}"
        add(
            f"--{side}",
            required=True,
            metavar="X",
            help=f"{camera}: a video, or a folder with the images of its frames",
        )
        add(
            f"--{side}-boxes",
            required=True,
            metavar="MOT.txt",
            help=f"{camera}: frame,track,left,top,width,height,confidence in each line",
        )
        add(f"--{side}-modality", required=True, choices=NAMES, help=f"{camera}: the modality of its images")
    add(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="a pair needs a cosine score of SCORE or more (default: every track of the camera with fewer tracks gets a partner)",
    )
    add(
        "--truth",
        metavar="PAIRS.csv",
        help="count the correct pairs; each row has the numbers of two tracks of the same person, in the columns a and b",
    )
    arguments.add_result_arguments(parser, "draw up to 50 pairs, best score first")
    arguments.add_track_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.retrieval.match import match_tracks, read_pairs
    from torchreid_rgbir.retrieval.tracks import extract_tracks
    from torchreid_rgbir.visual.ranked import draw_pairs, save_picture

    arguments.check_threshold(args.threshold)
    for out in filter(None, (args.json, args.save_picture)):
        report.check_folder(out)
    truth = read_pairs(args.truth) if args.truth else set()
    cameras = [(args.a, args.a_boxes, args.a_modality), (args.b, args.b_boxes, args.b_modality)]
    videos = [arguments.open_video(video, boxes, args.min_confidence) for video, boxes, _ in cameras]
    for _, boxes in videos:
        boxes.check_tracks()
    extractor = arguments.load_extractor(args)
    num_examples = NUM_EXAMPLES if args.save_picture else 0
    a, b = (
        extract_tracks(extractor, *video, modality, args.batch_size, args.every, num_examples)
        for video, (_, _, modality) in zip(videos, cameras, strict=True)
    )
    found = match_tracks([track.feature for track in a], [track.feature for track in b], args.threshold)
    pairs = [(a[pair.a], b[pair.b], pair.score) for pair in found]
    for one, other, score in pairs:
        print(f"track {one.number:>4} of A is track {other.number:>4} of B  {score:.3f}")
    print(f"{len(pairs)} pairs of {len(a)} tracks in A and {len(b)} tracks in B")
    if args.truth:
        correct = sum((one.number, other.number) in truth for one, other, _ in pairs)
        print(f"correct: {correct} of {len(truth)} pairs in {args.truth}")
    if args.json:
        sides = [
            {"video": video, "boxes": boxes, "modality": modality, "tracks": [track.about() for track in tracks]}
            for (video, boxes, modality), tracks in zip(cameras, (a, b), strict=True)
        ]
        report.write_results(args.json, as_json(sides, pairs, args.threshold))
    if args.save_picture and not pairs:
        print(f"note: no track has a partner, so {args.save_picture} is not written", file=sys.stderr)
    elif args.save_picture:
        save_picture(draw_pairs(sorted(pairs, key=lambda pair: -pair[2])), args.save_picture)
    return 0


def as_json(sides: list[dict], pairs: "list[tuple[Track, Track, float]]", threshold: float | None) -> dict:
    """Returns the contents of the `--json` file. The lists `unmatched_a` and `unmatched_b` are the tracks without a partner."""
    unmatched = []
    for side, matched in zip(sides, ({a.number for a, _, _ in pairs}, {b.number for _, b, _ in pairs}), strict=True):
        unmatched.append([track["track"] for track in side["tracks"] if track["track"] not in matched])
    return {
        "threshold": threshold,
        "pairs": [{"a": a.number, "b": b.number, "score": score} for a, b, score in pairs],
        "unmatched_a": unmatched[0],
        "unmatched_b": unmatched[1],
        "a": sides[0],
        "b": sides[1],
    }
