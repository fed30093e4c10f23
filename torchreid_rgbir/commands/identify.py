"""Find out who or what each image shows.

The answer is a ranked list of the people or objects (categories) in the references.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torchreid_rgbir.commands import arguments

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.identify import Answer

EXAMPLE = "torchreid-rgbir identify --weights model-best.pth.tar --reference photos/rgb --reference-modality rgb --image night.jpg --modality ir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_model_arguments(parser)
    arguments.add_reference_arguments(parser)
    arguments.add_image_arguments(parser, "categories")
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
    add("--json", type=os.path.expanduser, metavar="OUT", help="write the results as JSON")
    add(
        "--save-picture",
        type=os.path.expanduser,
        metavar="OUT.png",
        help="draw up to 50 images and their best references",
    )
    arguments.add_filter_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.metrics import report
    from torchreid_rgbir.retrieval.gallery import Gallery
    from torchreid_rgbir.retrieval.identify import identify, open_references
    from torchreid_rgbir.retrieval.image_table import labeled_images
    from torchreid_rgbir.visual.ranked import draw_identify_grid, save_picture

    for out in filter(None, (args.json, args.save_picture)):
        report.check_folder(out)
    if args.topk < 1:
        raise ValueError(f"--topk is {args.topk}: set it to 1 or more")
    if args.threshold is not None and math.isnan(args.threshold):
        raise ValueError("--threshold is nan: give a score between -1 and 1")
    paths, identities = map(list, zip(*labeled_images(args.image), strict=True))
    extractor = arguments.load_extractor(args)
    references = open_references(args.reference, extractor, args.reference_modality, args.batch_size)
    threshold, modality = args.threshold, args.reference_modality
    if isinstance(references, Gallery):
        threshold = references.about.threshold if threshold is None else threshold
        modality = references.about.modality
    if modality == args.modality:
        print(f"note: the model was not trained to compare {modality} with {modality} images", file=sys.stderr)
    features = extractor(paths, args.modality, args.batch_size)
    answers = identify(features, references, args.topk, threshold, arguments.filter_of(args))
    for path, answer in zip(paths, answers, strict=True):
        print(render(path, answer, threshold))
    if args.labeled:
        correct = sum(answer.matches[0].category == name for name, answer in zip(identities, answers, strict=True))
        print(f"best category correct: {correct} of {len(paths)} images, {correct / len(paths):.4f}")
    if args.json:
        report.write_results(args.json, as_json(paths, answers))
    if args.save_picture:
        save_picture(draw_identify_grid(list(zip(paths, answers, strict=True))), args.save_picture)
    return 0


def render(path: str, answer: "Answer", threshold: float | None) -> str:
    """Formats an image and its ranked categories, one per line."""
    lines = [arguments.printable(path) + (f": unknown, all scores are below {threshold:g}" if answer.unknown else "")]
    categories = [arguments.printable(match.category) for match in answer.matches]
    width = max(map(len, categories))
    for place, (category, match) in enumerate(zip(categories, answer.matches, strict=True), start=1):
        lines.append(f"{place:>4}  {category:<{width}}  {match.score:>6.3f}  {arguments.printable(match.path)}")
    return "\n".join(lines)


def as_json(paths: Sequence[str], answers: "Sequence[Answer]") -> dict:
    """Returns the contents of the `--json` file."""
    images = []
    for path, answer in zip(paths, answers, strict=True):
        matches = [{"category": one.category, "score": one.score, "reference": one.path} for one in answer.matches]
        images.append({"path": path, "unknown": answer.unknown, "matches": matches})
    return {"images": images}
