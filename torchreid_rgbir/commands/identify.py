"""Find out who or what an image or a track of a video shows.

The answer is a ranked list of the people or objects (categories) in the references.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torchreid_rgbir.commands import arguments
from torchreid_rgbir.extras import require
from torchreid_rgbir.terminal import progress

if TYPE_CHECKING:
    from torchreid_rgbir.data.video import Frames
    from torchreid_rgbir.retrieval.boxes import Boxes
    from torchreid_rgbir.retrieval.identify import Answer

EXAMPLE = "torchreid-rgbir identify --weights model-best.pth.tar --reference photos/rgb --reference-modality rgb --image night.jpg --modality ir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_model_arguments(parser)
    arguments.add_reference_arguments(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", nargs="+", metavar="X", help="images, or folders of images")
    source.add_argument(
        "--video", metavar="X", help="a video, or a folder with the images of its frames; needs --boxes"
    )
    add(
        "--boxes",
        metavar="MOT.txt",
        help="the video's boxes: frame,track,left,top,width,height,confidence in each line",
    )
    arguments.add_modality_argument(parser)
    add("--topk", type=int, default=10, metavar="N", help="categories per image or track (default: %(default)s)")
    add(
        "--threshold",
        type=float,
        metavar="SCORE",
        help='report "unknown" if the best cosine score is below SCORE (default: the threshold stored in the gallery, or none)',
    )
    add(
        "--labeled",
        action="store_true",
        help="count the correct answers; each image must be in a folder with the name of its category",
    )
    arguments.add_result_arguments(parser, "draw up to 50 images or tracks and their best references")
    add(
        "--save-video",
        type=os.path.expanduser,
        metavar="OUT.mp4",
        help="write the video with the boxes and the best category of each track",
    )
    arguments.add_track_arguments(parser)
    arguments.add_filter_arguments(parser)


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.retrieval.gallery import Gallery
    from torchreid_rgbir.retrieval.identify import identify, open_references
    from torchreid_rgbir.retrieval.image_table import labeled_images
    from torchreid_rgbir.retrieval.tracks import extract_tracks
    from torchreid_rgbir.visual.ranked import draw_identify_grid, save_picture

    _check(args)
    for out in filter(None, (args.json, args.save_picture, args.save_video)):
        report.check_folder(out)
    video = arguments.open_video(args.video, args.boxes, args.min_confidence) if args.video else None
    paths, identities = ([], []) if video else map(list, zip(*labeled_images(args.image), strict=True))
    extractor = arguments.load_extractor(args)
    references = open_references(args.reference, extractor, args.reference_modality, args.batch_size)
    threshold, modality = args.threshold, args.reference_modality
    if isinstance(references, Gallery):
        threshold = references.about.threshold if threshold is None else threshold
        modality = references.about.modality
    if modality == args.modality:
        print(f"note: the model was not trained to compare {modality} with {modality} images", file=sys.stderr)
    if video:
        num_examples = 1 if args.save_picture else 0
        tracks = extract_tracks(extractor, *video, args.modality, args.batch_size, args.every, num_examples)
        features = np.stack([track.feature for track in tracks])
        names, shown = [track.name for track in tracks], [image for track in tracks for image in track.examples]
        content = {"video": args.video, "boxes": args.boxes}, "tracks", [track.about() for track in tracks]
    else:
        features = extractor(paths, args.modality, args.batch_size)
        names, shown, content = paths, paths, ({}, "images", [{"path": path} for path in paths])
    answers = identify(features, references, args.topk, threshold, arguments.filter_of(args))
    for name, answer in zip(names, answers, strict=True):
        print(render(name, answer, threshold))
    if args.labeled:
        correct = sum(answer.matches[0].category == name for name, answer in zip(identities, answers, strict=True))
        print(f"best category correct: {correct} of {len(paths)} images, {correct / len(paths):.4f}")
    if args.json:
        head, key, rows = content
        report.write_results(
            args.json, head | {key: [row | as_json(one) for row, one in zip(rows, answers, strict=True)]}
        )
    if args.save_picture:
        save_picture(draw_identify_grid(list(zip(shown, answers, strict=True))), args.save_picture)
    if args.save_video and video:
        _save_video(args.save_video, *video, names, answers, extractor.ir_range)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Checks the flags before any work."""
    if args.topk < 1:
        raise ValueError(f"--topk is {args.topk}: set it to 1 or more")
    arguments.check_threshold(args.threshold)
    if args.video and not args.boxes:
        raise ValueError("--video needs --boxes MOT.txt: run a detector or tracker on the video and give its boxes")
    if args.video and args.labeled:
        raise ValueError("--labeled counts images in folders, and a video has none: remove --labeled")
    if not args.video:
        for flag in ("boxes", "save_video", "min_confidence"):
            if getattr(args, flag) is not None:
                raise ValueError(f"--{flag.replace('_', '-')} needs --video: give the video, or remove the flag")
        if args.every != 1:
            raise ValueError("--every needs --video: give the video, or remove the flag")
    if args.save_video:
        require("video", "av")
        if not args.save_video.lower().endswith(".mp4"):
            raise ValueError(f"--save-video is {args.save_video}: give a name that ends in .mp4")


def _save_video(
    out: str, frames: "Frames", boxes: "Boxes", names: Sequence[str], answers: "Sequence[Answer]", ir_range: str
) -> None:
    from torchreid_rgbir.data.video import write_video
    from torchreid_rgbir.files import atomic
    from torchreid_rgbir.visual.annotate import annotated
    from torchreid_rgbir.visual.ranked import IDENTIFIED, UNKNOWN

    labels = []
    for name, answer in zip(names, answers, strict=True):
        best = answer.matches[0]
        text = "unknown" if answer.unknown else f"{best.category} {best.score:.2f}"
        labels.append((f"{name}: {text}", UNKNOWN if answer.unknown else IDENTIFIED))
    drawn = progress(annotated(frames, boxes, labels, ir_range), "drawing", frames.num_frames or None, unit="frame")
    with atomic.replacing(out) as file:
        write_video(file, drawn, frames.rate)


def render(name: str, answer: "Answer", threshold: float | None) -> str:
    """Formats an image or a track and its ranked categories, one per line."""
    lines = [arguments.printable(name) + (f": unknown, all scores are below {threshold:g}" if answer.unknown else "")]
    categories = [arguments.printable(match.category) for match in answer.matches]
    width = max(map(len, categories))
    for place, (category, match) in enumerate(zip(categories, answer.matches, strict=True), start=1):
        lines.append(f"{place:>4}  {category:<{width}}  {match.score:>6.3f}  {arguments.printable(match.path)}")
    return "\n".join(lines)


def as_json(answer: "Answer") -> dict:
    """Returns the answer as the `--json` file contains it."""
    matches = [{"category": one.category, "score": one.score, "reference": one.path} for one in answer.matches]
    return {"unknown": answer.unknown, "matches": matches}
