"""Reads which images there are and what they show: from a folder CATEGORY/*.jpg or a CSV file."""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from torchreid_rgbir.data.folder import parse_camera
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.retrieval.reference_table import ReferenceTable, to_utc

CSV_COLUMNS = ("path", "category", "camera", "time", "extra")


def read_image_table(source: str | Path) -> ReferenceTable:
    """Reads a folder of references or a CSV file.

    Args:
        source: a folder with one folder per category, where a file prefix `cN_` gives the camera. Or a CSV file with the
            columns path (relative to the file) and category, and optionally camera (0 = unknown), time (ISO 8601 with
            its zone) and extra (a JSON object).

    Returns:
        The images of a folder sorted by category and name, those of a CSV file in its order.

    Raises:
        FileNotFoundError: the folder or file is missing, or an image that it lists.
        ValueError: there is no image, or a line cannot be read. The message names the line.
    """
    source = Path(source).expanduser()
    if source.suffix.lower() == ".csv" and not source.is_dir():
        return _read_csv(source)
    return _read_folder(source)


def _read_folder(folder: Path) -> ReferenceTable:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: give a folder with one folder per category, a .csv file, or a gallery"
        )
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    images = [(image, name) for name in names for image in list_images(folder / name)]
    if not images:
        loose = " (its images are not in category folders)" if list_images(folder) else ""
        raise ValueError(f"{folder} contains no CATEGORY/*.jpg{loose}: create one folder per category")
    paths, categories = zip(*images, strict=True)
    return ReferenceTable.of(paths, categories, cameras=[parse_camera(Path(path).name) for path in paths])


def _read_csv(path: Path) -> ReferenceTable:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give a .csv file with the columns path and category, or a folder")
    lines = []
    for number, row in _numbered(path):
        try:
            lines.append(_parsed(row, path.parent))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{path}, line {number}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not lines:
        raise ValueError(f"{path} lists no image: write one line per image")
    return ReferenceTable.of(*zip(*lines, strict=True))


def _numbered(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            columns = reader.fieldnames or ()
            if not {"path", "category"} <= set(columns) <= set(CSV_COLUMNS):
                raise ValueError(
                    f"columns {', '.join(columns)}: expected path and category, optionally {', '.join(CSV_COLUMNS[2:])}"
                )
            for row in reader:
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a valid CSV table ({error}): write it as UTF-8 with commas and a header line"
            ) from None


def _parsed(row: Mapping[str, str], folder: Path) -> tuple[str, str, int, datetime | None, dict[str, Any]]:
    if None in row or None in row.values():
        raise ValueError("the number of cells differs from the number of columns: fix the line")
    image = folder / row["path"]
    if not image.is_file():
        raise FileNotFoundError(f"{image} is missing: write the path relative to the .csv file")
    if not row["category"]:
        raise ValueError("the category is empty: fill it in")
    camera, time, extra = (row.get(name) or "" for name in ("camera", "time", "extra"))
    parsed = json.loads(extra) if extra else {}
    if not isinstance(parsed, dict):
        raise ValueError(f"extra is {extra[:40]}: expected a JSON object")
    taken = datetime.fromisoformat(time) if time else None
    to_utc(taken)  # checks the time zone
    return str(image), row["category"], int(camera or 0), taken, parsed
