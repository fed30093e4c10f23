"""Find the score below which an image is "unknown" for a given false-match rate, and store it in the gallery."""

import argparse
from math import isnan

from torchreid_rgbir.commands import arguments

EXAMPLE = "torchreid-rgbir calibrate --weights model-best.pth.tar --reference gallery --images labeled/ir --modality ir --rate 0.01"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model_arguments(parser)
    arguments.add_reference_arguments(parser)
    images = "labeled images that are not among the references: CATEGORY/*.jpg or .csv"
    parser.add_argument("--images", required=True, metavar="X", help=images)
    arguments.add_modality_argument(parser)
    parser.add_argument(
        "--rate",
        type=float,
        default=0.01,
        help="largest share of unknown people that may be identified (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.retrieval.calibrate import calibrate, num_allowed
    from torchreid_rgbir.retrieval.gallery import Gallery
    from torchreid_rgbir.retrieval.identify import open_references
    from torchreid_rgbir.retrieval.image_table import read_image_table

    labeled = read_image_table(args.images)
    num_allowed(args.rate, len(labeled))  # fails before the extraction
    extractor = arguments.load_extractor(args)
    references = open_references(args.reference, extractor, args.reference_modality, args.batch_size)
    features = extractor(list(labeled.paths), args.modality, args.batch_size)
    found = calibrate(features, labeled.categories, references, args.rate)
    print(f"threshold {found.threshold:.9g}, from {found.num_images} images against {len(references)} references:")
    print(f"  unknown people identified (falsely)  {100 * found.false_match_rate:.2f} %")
    share = f"{100 * found.identified:.2f} %"
    known = "no image has a category among the references" if isnan(found.identified) else share
    print(f"  known people identified correctly    {known}")
    if isinstance(references, Gallery):
        references.set_threshold(found.threshold, found.false_match_rate)
        print(f"stored in {args.reference}; identify uses it unless --threshold is given")
    else:
        print(f"pass it to identify: --threshold {found.threshold:.9g}")
    return 0
