"""Who or what is it: ranks the categories of references of one modality for images of the other."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir.commands.arguments import add_model_arguments, add_where_arguments, load_extractor, where
from torchreid_rgbir.metrics import report
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.retrieval.extractor import image_list
from torchreid_rgbir.retrieval.gallery import Gallery
from torchreid_rgbir.retrieval.identify import Answer, identify, open_references
from torchreid_rgbir.visual.identify_grid import draw_identify_grid
from torchreid_rgbir.visual.ranked import save_picture

EXAMPLE = "torchreid-rgbir identify --weights model-best.pth.tar --reference photos/rgb --reference-modality rgb --image night.jpg --modality ir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument(
        "--reference",
        required=True,
        metavar="X",
        help="a folder CATEGORY/*.jpg, a .csv file (see the guide), or a gallery",
    )
    parser.add_argument("--reference-modality", choices=NAMES, help="what the references are; a gallery knows")
    parser.add_argument("--image", required=True, nargs="+", metavar="X", help="images to identify, or folders of them")
    parser.add_argument("--modality", required=True, choices=NAMES, help="what these are")
    parser.add_argument("--topk", type=int, default=10, metavar="N", help="categories an image (default: %(default)s)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help='best scores below it are "unknown" (default: a gallery\'s, if calibrated)',
    )
    parser.add_argument(
        "--labeled",
        action="store_true",
        help="the images lie in folders named by their category: say how many were right",
    )
    parser.add_argument("--json", metavar="OUT", help="write the answers as JSON")
    parser.add_argument(
        "--save-picture", metavar="OUT.png", help="draw the images (50 at most) beside their best references"
    )
    add_where_arguments(parser)


def run(args: argparse.Namespace) -> int:
    for out in filter(None, (args.json, args.save_picture)):
        report.check_folder(out)
    if args.topk < 1:
        raise ValueError(f"--topk {args.topk}: ask for at least 1 category")
    if args.threshold is not None and math.isnan(args.threshold):
        raise ValueError("--threshold nan: give a score, between -1 and 1")
    paths = [str(path) for path in image_list(args.image)]
    extractor = load_extractor(args)
    references = open_references(args.reference, extractor, args.reference_modality, args.batch_size)
    threshold, modality = args.threshold, args.reference_modality
    if isinstance(references, Gallery):
        threshold = references.about.threshold if threshold is None else threshold
        modality = references.about.modality
    if modality == args.modality:
        print(f"note: {modality} against {modality} is outside of what the model was trained for", file=sys.stderr)
    features = extractor(paths, args.modality, args.batch_size)
    answers = identify(features, references, args.topk, threshold, where(args))
    for path, answer in zip(paths, answers, strict=True):
        print(render(path, answer, threshold))
    if args.labeled:
        right = sum(is_right(path, answer) for path, answer in zip(paths, answers, strict=True))
        print(f"best category right: {right} of {len(paths)} images, {right / len(paths):.4f}")
    if args.json:
        report.write_results(args.json, as_json(paths, answers))
    if args.save_picture:
        save_picture(draw_identify_grid(list(zip(paths, answers, strict=True))), args.save_picture)
    return 0


def render(path: str, answer: Answer, threshold: float | None) -> str:
    """An image and its ranked categories, a line each."""
    lines = [path + (f": unknown, no score of {threshold:g} or more" if answer.unknown else "")]
    width = max(len(match.category) for match in answer.matches)
    lines += [
        f"{place:>4}  {match.category:<{width}}  {match.score:>6.3f}  {match.path}"
        for place, match in enumerate(answer.matches, start=1)
    ]
    return "\n".join(lines)


def is_right(path: str, answer: Answer) -> bool:
    """Whether the best category is the name of the image's folder."""
    return answer.matches[0].category == Path(path).absolute().parent.name


def as_json(paths: Sequence[str], answers: Sequence[Answer]) -> dict:
    """What `--json` writes."""
    return {
        "images": [
            {
                "path": path,
                "unknown": answer.unknown,
                "matches": [
                    {"category": match.category, "score": match.score, "reference": match.path}
                    for match in answer.matches
                ],
            }
            for path, answer in zip(paths, answers, strict=True)
        ]
    }
