"""A gallery of references that lasts: add, remove, list, search, compact. Needs the extra `gallery` (LanceDB), or `cluster` for a Milvus server."""

import argparse
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_model_arguments, add_where_arguments, load_extractor, where
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.retrieval.build_gallery import build_gallery
from torchreid_rgbir.retrieval.extractor import image_list
from torchreid_rgbir.retrieval.gallery import Gallery

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir gallery add people.gallery --weights model-best.pth.tar --images photos/rgb --modality rgb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        chosen = actions.add_parser(name, help=text, description=text)
        terminal.add_flags(chosen)
        chosen.add_argument(
            "gallery", metavar="GALLERY", help="a folder, s3://..., or http://HOST:19530 of a Milvus server"
        )
        return chosen

    add = action("add", "add images, making the gallery where there is none; those that are in it already are skipped")
    add_model_arguments(add)
    add.add_argument(
        "--images", required=True, metavar="X", help="a folder CATEGORY/*.jpg, or a .csv file (see the guide)"
    )
    add.add_argument("--modality", required=True, choices=NAMES, help="what the images are")

    remove = action("remove", "remove images by path or by filter")
    remove.add_argument(
        "--path", nargs="+", default=[], metavar="P", help="of images, as `gallery list --images` shows them"
    )
    add_where_arguments(remove)

    listing = action("list", "what is in it: images by category")
    listing.add_argument(
        "--images", action="store_true", help="a line an image instead: path, category, camera, time, extra"
    )
    add_where_arguments(listing)

    search = action("search", "the reference images nearest to given ones, whatever their category")
    add_model_arguments(search)
    search.add_argument("--image", required=True, nargs="+", metavar="X", help="images, or folders of them")
    search.add_argument("--modality", required=True, choices=NAMES, help="what these are")
    search.add_argument("--topk", type=int, default=10, metavar="N", help="references an image (default: %(default)s)")
    search.add_argument(
        "--index", action="store_true", help="ask the index whatever the size, instead of every reference"
    )
    add_where_arguments(search)

    compact = action("compact", "gather what many additions and removals left on the disk")
    compact.add_argument(
        "--index", action="store_true", help="make the search index, for galleries beyond a million images"
    )
    compact.add_argument(
        "--erase",
        action="store_true",
        help="take removed images off the disk now, not in an hour; nobody else may have it open",
    )


def run(args: argparse.Namespace) -> int:
    return {"add": _add, "remove": _remove, "list": _list, "search": _search, "compact": _compact}[args.action](args)


def _add(args: argparse.Namespace) -> int:
    gallery, added, skipped = build_gallery(
        args.gallery, load_extractor(args), args.images, args.modality, args.batch_size
    )
    print(
        f"added {added} images, {skipped} were there already: {len(gallery)} {args.modality} images in {args.gallery}"
    )
    return 0


def _remove(args: argparse.Namespace) -> int:
    gallery = Gallery.open(args.gallery)
    # `gallery add` keeps absolute paths; rows added from Python may be named otherwise.
    paths = [*args.path, *(str(Path(path).absolute()) for path in args.path)]
    removed = gallery.remove(replace(where(args), paths=paths))
    print(
        f"removed {removed} images: {len(gallery)} left in {args.gallery}; `gallery compact --erase` takes them off the disk"
    )
    return 0


def _list(args: argparse.Namespace) -> int:
    gallery = Gallery.open(args.gallery)
    rows = gallery.rows(where(args))
    if args.images:
        for i in range(len(rows)):
            match = rows.match(i, 0.0)
            time = match.time.isoformat() if match.time else ""
            print(f"{match.path}\t{match.category}\t{match.camera}\t{time}\t{rows.extras[i]}")
        return 0
    about = gallery.about
    threshold = "none, calibrate finds one" if about.threshold is None else f"{about.threshold:.9g}"
    print(
        f"{args.gallery}: {len(gallery)} {about.modality} images, {about.dim} numbers each, of model {about.fingerprint[:8]}"
    )
    print(f"threshold: {threshold}")
    for category, count in sorted(Counter(rows.categories).items()):
        print(f"{count:>8}  {category}")
    return 0


def _search(args: argparse.Namespace) -> int:
    paths = [str(path) for path in image_list(args.image)]
    gallery, extractor = Gallery.open(args.gallery), load_extractor(args)
    gallery.check(extractor.fingerprint)
    features = extractor(paths, args.modality, args.batch_size)
    found = gallery.search(features, args.topk, where(args), exact=False if args.index else None)
    for path, matches in zip(paths, found, strict=True):
        print(path)
        for place, match in enumerate(matches, start=1):
            print(f"{place:>4}  {match.score:>6.3f}  {match.category}  {match.path}")
    return 0


def _compact(args: argparse.Namespace) -> int:
    gallery = Gallery.open(args.gallery)
    if args.index:
        logger.info("making the index of %d images", len(gallery))
    gallery.compact(index=args.index, erase=args.erase)
    print(f"{len(gallery)} images in {args.gallery}" + (", indexed" if args.index else ""))
    return 0
