"""Paths as users write them: `~`, relative parts, links and Unicode forms never make one file two."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def expand(path: str | Path) -> Path:
    """Returns the absolute path with `~`, `.` and `..` resolved and links kept: the path under which a file is stored and shown."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def normalize_name(name: str) -> str:
    """Returns a name in Unicode's composed form (NFC). Names are compared, sorted and stored in this form.

    Linux writes an accented letter as one character, a Mac may write it as a letter and an accent: both look the same.
    """
    return unicodedata.normalize("NFC", name)


def same_file_key(path: str | Path) -> str:
    """Returns a text that is equal for all paths that lead to one file: links are resolved, the Unicode form is NFC.

    The key only finds duplicates. Identity, camera and category come from the path as the user gave it.
    """
    return normalize_name(os.path.realpath(os.path.expanduser(path)))


def without_duplicates(paths: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Removes paths that lead to a file that an earlier path leads to.

    Returns:
        The remaining paths in their order, and for each removed path the earlier one.

    Raises:
        ValueError: two different files have names that differ only in their Unicode form.
    """
    first: dict[str, str] = {}
    duplicates = {}
    for path in paths:
        key = same_file_key(path)
        if key not in first:
            first[key] = path
            continue
        known = first[key]
        if os.path.exists(path) and os.path.exists(known) and not os.path.samefile(known, path):
            raise ValueError(f"{path} and {known} differ only in the Unicode form of their names: rename one of them")
        duplicates[path] = known
    return list(first.values()), duplicates
