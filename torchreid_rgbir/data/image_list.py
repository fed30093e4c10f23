"""Text lists of data sets: `path label` per line (RegDB, LLCM), and how every list file is read."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from torchreid_rgbir.data.cross_modal import Item


def read_image_list(path: Path, folder: Path) -> list[tuple[str, int]]:
    """Reads a list of images and checks that the images exist.

    A path may be written with the backslashes of Windows, and in either Unicode form (NFC or NFD).

    Args:
        path: the list. Empty lines are skipped.
        folder: the data set's folder. Listed paths are relative to it.

    Returns:
        (path of the image, label) in the order of the list.

    Raises:
        ValueError: a line is not `path label`, an image is listed twice, or the list is empty. The message has the line's number.
        FileNotFoundError: the list or a listed image is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: download the data set's official lists")
    images: dict[str, int] = {}
    missing = []
    names_in = cache(_file_names)  # one listing per folder instead of one request to the file system per image
    for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        name, _, label = line.strip().replace("\t", " ").rpartition(" ")  # a path may contain spaces
        if not name or not label.removeprefix("-").isdecimal():
            raise ValueError(f"{where}: expected `path label`, got {line.strip()[:60]!r}: fix the line")
        image, exists = _find(folder, name.strip(), names_in)
        if image in images:
            raise ValueError(f"{where}: {image} is listed a second time: remove one of the lines")
        images[image] = parse_number(label, f"{where}, column 2 (label)")
        if not exists:
            missing.append(image)
    if not images:
        raise ValueError(f"{path} lists no image: download the data set's official lists")
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is missing ({len(missing)} of the {len(images)} images in {path} are missing): "
            "unpack the data set again"
        )
    return list(images.items())


def read_text(path: Path) -> str:
    """The text of a list file: UTF-8 with or without a byte order mark. Bytes that are not UTF-8 stay usable in file names.

    Raises:
        ValueError: the file is UTF-16 or UTF-32, or not text.
    """
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is a UTF-16 file: save it as UTF-8")
    if b"\0" in data:
        raise ValueError(f"{path} is not a text file, or is UTF-16 or UTF-32: save it as UTF-8")
    return data.decode("utf-8-sig", errors="surrogateescape")


def parse_number(digits: str, where: str) -> int:
    """The value of a number's digits.

    Raises:
        ValueError: it does not fit 64 bits. The message begins with `where`.
    """
    if len(digits.lstrip("-0")) > 19 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{where}: the number {digits[:30]} does not fit 64 bits: use a smaller one")
    return int(digits)


def _file_names(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:  # the folder is missing, or its files can be opened but not listed
        return set()


def _find(folder: Path, name: str, names_in: Callable[[str], set[str]]) -> tuple[str, bool]:
    """The path of a listed image in the spelling that exists, and whether it exists. `names_in` lists a folder's files."""
    spellings = [name, name.replace("\\", "/")]
    if not name.isascii():
        spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
    images = [os.path.normpath(os.path.join(folder, spelling)) for spelling in spellings]
    for image in images:
        if os.path.basename(image) in names_in(os.path.dirname(image)):
            return image, True
    for image in images:
        if os.path.isfile(image):  # some file systems find a file under more names than the listed one
            return image, True
    return images[1], False


def numbered(items: Iterable[Item]) -> list[Item]:
    """Sets the number of every item: its 1-based place, by path, among the images of its identity, modality and camera."""
    return numbered_in_order(sorted(items, key=lambda item: item.impath))


def numbered_in_order(items: Iterable[Item]) -> list[Item]:
    """As `numbered`, but the place is that among `items`."""
    count: Counter[tuple[int, int, int]] = Counter()
    result = []
    for item in items:
        group = (item.pid, item.modality, item.camid)
        count[group] += 1
        result.append(item._replace(number=count[group]))
    return result


def relabeled(items: Iterable[Item]) -> list[Item]:
    """Replaces identity numbers by 0..N-1, in ascending order. Negative (junk) labels stay, and training does not use them."""
    items = list(items)
    label = training_labels(item.pid for item in items)
    return [Item(item.impath, label.get(item.pid, item.pid), *item[2:]) for item in items]


def training_labels(pids: Iterable[int]) -> dict[int, int]:
    """The label 0..N-1 of each identity, in ascending order. Negative numbers mark junk and have none."""
    return {pid: i for i, pid in enumerate(sorted({pid for pid in pids if pid >= 0}))}
