"""Store the features of reference images on disk. Each action has its own --help.

Install what it needs with pip install 'torchreid-rgbir[gallery]', or [cluster] for a Milvus server.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torchreid_rgbir import terminal
from torchreid_rgbir.commands import arguments, load_package

if TYPE_CHECKING:
    from torchreid_rgbir.retrieval.gallery import Gallery

logger = logging.getLogger(__name__)

EXAMPLE = "torchreid-rgbir gallery add people.gallery --weights model-best.pth.tar --images photos/rgb --modality rgb"
LIGHT = True  # list, remove and compact; `run` loads the package for the other actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        chosen = actions.add_parser(name, help=text, description=text)
        terminal.add_flags(chosen)
        chosen.add_argument(
            "gallery", metavar="GALLERY", help="a folder, s3://..., or http://HOST:19530 of a Milvus server"
        )
        return chosen

    add = action("add", "add images; creates the gallery if needed, and skips images that are already in it")
    arguments.add_model_arguments(add)
    images = "a folder with one subfolder per category, or a CSV file (docs/guide.md)"
    add.add_argument("--images", required=True, metavar="X", help=images)
    arguments.add_modality_argument(add)

    remove = action("remove", "remove images by path or by filter")
    paths = "paths of images, as `gallery list --images` prints them"
    remove.add_argument("--path", nargs="+", default=[], metavar="P", help=paths)
    arguments.add_filter_arguments(remove)

    listing = action("list", "list the categories and the number of images in each")
    lines = "print one line per image instead: path, category, camera, time, extra"
    listing.add_argument("--images", action="store_true", help=lines)
    arguments.add_filter_arguments(listing)

    search = action("search", "find the nearest reference images, regardless of category")
    arguments.add_model_arguments(search)
    arguments.add_image_arguments(search, "references")
    search.add_argument("--index", action="store_true", help="use the index even if the gallery is small")
    arguments.add_filter_arguments(search)

    compact = action(
        "compact", "make a gallery faster after many additions and removals; --erase deletes removed features now"
    )
    index = "build the search index, for galleries of more than a million images"
    compact.add_argument("--index", action="store_true", help=index)
    erase = "delete removed images from the disk now instead of an hour later"
    compact.add_argument("--erase", action="store_true", help=erase)


def run(args: argparse.Namespace) -> int:
    if args.action in ("add", "search"):
        load_package()
    return {"add": _add, "remove": _remove, "list": _list, "search": _search, "compact": _compact}[args.action](args)


def _add(args: argparse.Namespace) -> int:
    from torchreid_rgbir.retrieval.build_gallery import build_gallery

    done = build_gallery(args.gallery, arguments.load_extractor(args), args.images, args.modality, args.batch_size)
    changed = f", updated {done.num_changed} whose files have changed" if done.num_changed else ""
    print(
        f"added {done.num_new} images, {done.num_known} were there already{changed}: "
        f"{len(done.gallery)} {args.modality} images in {args.gallery}"
    )
    return 0


def _open(args: argparse.Namespace) -> "Gallery":
    from torchreid_rgbir.retrieval.gallery import Gallery

    return Gallery.open(args.gallery)


def _remove(args: argparse.Namespace) -> int:
    gallery = _open(args)
    removed = gallery.remove(replace(arguments.filter_of(args), paths=stored_paths(gallery, args.path)))
    print(
        f"removed {removed} images: {len(gallery)} left in {args.gallery}; "
        "`gallery compact --erase` deletes them from the disk"
    )
    return 0


def stored_paths(gallery: "Gallery", paths: Sequence[str]) -> list[str]:
    """Returns the paths under which a gallery holds the given files, and the given names themselves."""
    from torchreid_rgbir.files.paths import expand
    from torchreid_rgbir.retrieval.reference_table import file_keys

    keys = set(file_keys(str(expand(path)) for path in paths))
    stored = gallery.rows().paths.tolist() if paths else []
    return [*paths, *(path for path, key in zip(stored, file_keys(stored), strict=True) if key in keys)]


def _list(args: argparse.Namespace) -> int:
    gallery = _open(args)
    rows = gallery.rows(arguments.filter_of(args))
    if args.images:
        for i in range(len(rows)):
            match = rows.match(i, 0.0)
            time = match.time.isoformat() if match.time else ""
            cells = (match.path, match.category, str(match.camera), time, rows.extras[i])
            print("\t".join(map(arguments.printable, cells)))
        return 0
    about = gallery.about
    of_model = f"{about.dim} numbers each, of model {about.fingerprint[:8]}"
    print(f"{args.gallery}: {len(gallery)} {about.modality} images, {of_model}")
    print("threshold: " + ("none, calibrate sets one" if about.threshold is None else f"{about.threshold:.9g}"))
    for category, count in sorted(Counter(rows.categories).items()):
        print(f"{count:>8}  {arguments.printable(category)}")
    return 0


def _search(args: argparse.Namespace) -> int:
    from torchreid_rgbir.retrieval.image_table import labeled_images

    paths = [path for path, _ in labeled_images(args.image)]
    gallery, extractor = _open(args), arguments.load_extractor(args)
    gallery.check(extractor.fingerprint)
    features = extractor(paths, args.modality, args.batch_size)
    found = gallery.search(features, args.topk, arguments.filter_of(args), exact=False if args.index else None)
    for path, matches in zip(paths, found, strict=True):
        print(arguments.printable(path))
        for place, match in enumerate(matches, start=1):
            print(
                f"{place:>4}  {match.score:>6.3f}  {arguments.printable(match.category)}  {arguments.printable(match.path)}"
            )
    return 0


def _compact(args: argparse.Namespace) -> int:
    gallery = _open(args)
    if args.index:
        logger.info("building the index of %d images", len(gallery))
    duplicates = gallery.compact(index=args.index, erase=args.erase)
    removed = f", removed {duplicates} duplicates" if duplicates else ""
    print(f"{len(gallery)} images in {args.gallery}" + (", indexed" if args.index else "") + removed)
    return 0
