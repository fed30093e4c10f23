"""Lists image files: which files are images, and how folders and links are followed."""

import os
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class FoundFiles(NamedTuple):
    """What `find_files` found below a folder."""

    images: list[str]  # sorted by path; each file once
    duplicates: dict[str, str]  # links to an image or a folder that is listed already, and where it is listed
    others: list[str]  # files without an image's name, hidden files and folders, pipes and devices


def find_images(folder: str | Path) -> list[str]:
    """The image files below a folder, by the rule of `find_files`."""
    return find_files(folder).images


def find_files(folder: str | Path) -> FoundFiles:
    """Lists everything below a folder, at any depth; nothing if there is no such folder.

    Hidden files and folders are skipped. A link is followed, unless the image or folder it leads to is listed already.
    A link to nothing is listed, so that reading it fails with its name.

    Raises:
        ValueError: a link leads to a folder that contains it, or to itself.
    """
    found = FoundFiles([], {}, [])
    listed: dict[str, str] = {}  # resolved path -> the path under which it is listed
    links: list[tuple[str, tuple[str, ...]]] = []  # and the resolved folders that lead to it
    if os.path.isdir(folder):
        _walk(os.fspath(folder), (os.path.realpath(folder),), listed, links, found)
    while links:  # after everything else: a file that is there itself is listed in its own place
        path, parents = links.pop(0)
        target = os.path.realpath(path)
        if os.path.islink(target) or any(Path(parent).is_relative_to(target) for parent in parents):
            raise ValueError(f"{path} is a link that leads back to itself: remove it")
        if target in listed:
            found.duplicates[path] = listed[target]
        elif os.path.isdir(target):
            _walk(path, (*parents, target), listed, links, found)
        elif is_image_name(os.path.basename(path)) and (os.path.isfile(target) or not os.path.exists(target)):
            listed[target] = path
            found.images.append(path)
        else:
            found.others.append(path)
    return FoundFiles(sorted(found.images), found.duplicates, sorted(found.others))


def _walk(
    folder: str,
    parents: tuple[str, ...],
    listed: dict[str, str],
    links: list[tuple[str, tuple[str, ...]]],
    found: FoundFiles,
) -> None:
    listed[parents[-1]] = folder
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        real = os.path.join(parents[-1], entry.name)
        if entry.name.startswith("."):
            found.others.append(entry.path)
        elif entry.is_symlink():
            links.append((entry.path, parents))
        elif real in listed:  # a folder that was reached by a link from elsewhere
            found.duplicates[entry.path] = listed[real]
        elif entry.is_dir():
            _walk(entry.path, (*parents, real), listed, links, found)
        elif entry.is_file() and is_image_name(entry.name):
            listed[real] = entry.path
            found.images.append(entry.path)
        else:
            found.others.append(entry.path)


def list_images(folder: str | Path) -> list[str]:
    """The image files directly in a folder, sorted by name, without hidden ones; empty if there is no such folder."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    with entries:
        # A link to nothing is listed, so that reading it fails with its name; a folder or a pipe is not.
        return sorted(
            entry.path
            for entry in entries
            if is_image_name(entry.name) and (entry.is_file() or not os.path.exists(entry.path))
        )


def is_image_name(name: str) -> bool:
    """Whether a file has the name of an image. Hidden files do not: a Mac leaves files such as ._0001.jpg."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
