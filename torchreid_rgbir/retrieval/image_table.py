"""Reads which images there are and what they show: from a folder CATEGORY/*.jpg or a CSV file."""

import csv
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchreid_rgbir.data.folder import is_junk, parse_camera
from torchreid_rgbir.data.images import IMAGE_SUFFIXES, file_of, find_files
from torchreid_rgbir.files.paths import expand, normalize_name, without_duplicates
from torchreid_rgbir.files.times import parse_time
from torchreid_rgbir.retrieval.reference_table import ReferenceTable

logger = logging.getLogger(__name__)

CSV_COLUMNS = ("path", "category", "camera", "time", "extra")
FRAME_COLUMNS = ("path", "category", "camera", "track")


def read_image_table(source: str | Path) -> ReferenceTable:
    """Reads a folder of references or a CSV file.

    Args:
        source: a folder with one folder per category. Images in deeper folders belong to it, and a file prefix `cN_` gives
            the camera. A folder with a negative number as its name is junk and is skipped. Or a CSV file with the columns
            path (relative to the file) and category, and optionally camera (0 = unknown), time (ISO 8601 with its zone)
            and extra (a JSON object).

    Returns:
        The images of a folder sorted by category and path, those of a CSV file in its order.

    Raises:
        FileNotFoundError: the folder or file is missing, or an image that it lists.
        ValueError: there is no image, a line cannot be read, or a file is listed twice. The message names the line.
    """
    source = Path(source).expanduser()
    if source.suffix.lower() == ".csv" and not source.is_dir():
        return ReferenceTable.of(*zip(*(line[:5] for line in _read_csv(source, CSV_COLUMNS)), strict=True))
    if not source.is_dir():
        raise FileNotFoundError(
            f"{source} is missing: give a folder with one folder per category, a .csv file, or a gallery"
        )
    found = images_below(source)
    labeled = sorted((category, path) for path, category in found if category)
    images = [(category, path) for category, path in labeled if not is_junk(category)]
    if not images:
        loose = " (its images are not in category folders)" if found else ""
        loose = " (its folders are negative numbers, which mark junk)" if labeled else loose
        raise ValueError(f"{source} contains no CATEGORY/*.jpg{loose}: create one folder per category")
    if len(labeled) < len(found):
        logger.warning("skipped %d images that are not in a category folder of %s", len(found) - len(labeled), source)
    if len(images) < len(labeled):
        num_junk = len(labeled) - len(images)
        logger.warning("skipped %d junk images of %s: the name of their folder is a negative number", num_junk, source)
    categories, paths = zip(*images, strict=True)
    return ReferenceTable.of(paths, categories, cameras=[parse_camera(Path(path).name) for path in paths])


def read_frame_table(path: str | Path) -> list[tuple[str, str, int, int]]:
    """Reads a CSV file of images with the columns path (relative to the file) and category, and optionally camera and track.

    Returns:
        The path, category, camera (0 = unknown) and track (0 = none) of each image, in the order of the file. A path may be a
        part of a wide file, such as `0502_c0001_000.jpg#1of3`.

    Raises:
        FileNotFoundError, ValueError: as `read_image_table`.
    """
    lines = _read_csv(Path(path).expanduser(), FRAME_COLUMNS)
    return [(image, category, camera, track) for image, category, camera, _, _, track in lines]


def images_below(folder: Path) -> list[tuple[str, str]]:
    """Lists the images below a folder, and logs how many other files are skipped.

    Returns:
        The path and identity of each image, sorted by path. The identity is the name of the first folder below `folder`, or
        an empty string for an image directly in it.

    Raises:
        ValueError: a link leads back to itself.
    """
    found = find_files(folder)
    if found.others:
        num = len(found.others)
        logger.info("skipped %d files below %s that are not images, such as %s", num, folder, found.others[0])
    if found.duplicates:
        path, listed = next(iter(found.duplicates.items()))
        logger.info("skipped %d links below %s: %s is the same as %s", len(found.duplicates), folder, path, listed)
    parts = [(path, Path(path).relative_to(folder).parts) for path in found.images]
    return [(path, normalize_name(names[0]) if len(names) > 1 else "") for path, names in parts]


def labeled_images(sources: Sequence[str | Path]) -> list[tuple[str, str]]:
    """Lists image files, and the images of folders, with their identities. A file that is given twice is listed once.

    Returns:
        The path and identity of each image. The identity is the name of the first folder below a given folder. For a file,
        or an image directly in a given folder, it is the name of the folder that contains it.

    Raises:
        FileNotFoundError: a path is missing.
        ValueError: there is no image.
    """
    identity_of: dict[str, str] = {}
    for source in sources:
        path = Path(source).expanduser()
        if not os.path.exists(file_of(str(path))):
            raise FileNotFoundError(f"{path} is missing: give an image or a folder of images")
        images = images_below(path) if path.is_dir() else [(str(path), "")]
        if not images:
            raise ValueError(f"{path} contains no image: give a folder with {', '.join(IMAGE_SUFFIXES)} files")
        for image, identity in images:
            identity_of.setdefault(image, identity or normalize_name(expand(image).parent.name))
    paths, duplicates = without_duplicates(identity_of)
    if duplicates:
        again, first = next(iter(duplicates.items()))
        logger.info("skipped %d images that are given twice: %s is the same file as %s", len(duplicates), again, first)
    return [(path, identity_of[path]) for path in paths]


def _read_csv(path: Path, columns: Sequence[str]) -> list[tuple]:
    """Path, category, camera, time, extra and track of each line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a .csv file with the columns path and category, or a folder")
    lines = []
    for number, row in _numbered(path, columns):
        try:
            lines.append(_parsed(row, path.parent))
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{path}, line {number}: {error}") from None
    if not lines:
        raise ValueError(f"{path} lists no image: write one line per image")
    _, duplicates = without_duplicates(image for image, *_ in lines)
    for again, first in duplicates.items():
        raise ValueError(f"{path} lists one file twice, as {first} and as {again}: remove one of the lines")
    return lines


def _numbered(path: Path, allowed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            columns = reader.fieldnames or ()
            if not {"path", "category"} <= set(columns) <= set(allowed):
                raise ValueError(
                    f"columns {', '.join(columns)}: expected path and category, optionally {', '.join(allowed[2:])}"
                )
            for row in reader:
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a valid CSV table ({error}): write it as UTF-8 with commas and a header line"
            ) from None


def _parsed(row: Mapping[str, str], folder: Path) -> tuple:
    if None in row or None in row.values():
        raise ValueError("the number of cells differs from the number of columns: fix the line")
    if not row["category"]:
        raise ValueError("the category is empty: fill it in")
    image = folder / Path(row["path"]).expanduser()
    if not os.path.isfile(file_of(str(image))) and "\\" in row["path"]:
        image = folder / row["path"].replace("\\", "/")  # written on Windows
    if not os.path.isfile(file_of(str(image))):
        raise FileNotFoundError(f"{image} is missing: write the path relative to the .csv file")
    values = []
    for name, parse in (("camera", _number), ("time", parse_time), ("extra", _extra), ("track", _number)):
        text = row.get(name)
        try:
            values.append(parse(text) if text else None)
        except ValueError as error:
            raise ValueError(f"column {name}: {error}") from None
    camera, time, extra, track = values
    return str(image), row["category"], camera or 0, time, extra or {}, track or 0


def _number(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise ValueError(f"{text[:40]} is not a number from 0 to 2^63 - 1: use numbers, and 0 if there is none")
    return number


def _extra(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]} is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{text[:40]} is not a JSON object")
    return parsed
