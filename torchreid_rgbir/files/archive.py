"""Data sets in a .zip or .tar file: unpacked once, beside the archive, and never outside of that folder."""

import logging
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from torchreid_rgbir.files import atomic

logger = logging.getLogger(__name__)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
OFFICIAL_NAMES = {"SYSU-MM01", "RegDB", "LLCM"}  # a data set finds its folder by this name
LAYOUT_FOLDERS = ("train", "exp", "idx")  # a folder that holds one of them is a data set
MAC_FOLDER = "__MACOSX"  # what a Mac adds to an archive: copies of file attributes, no images


def unpacked(root: str) -> str:
    """Returns the folder of a data root (`data.root`), which may be an archive. Any other root is returned as it is.

    A .zip or .tar file is unpacked into a folder of its name, unless that folder exists. If it holds one folder with a
    data set in it, that folder is returned.

    Raises:
        ValueError: the archive is damaged, would write outside of its folder, needs more room than there is, or
            holds several data sets.
        OSError: another process is unpacking it and makes no progress.
    """
    path = Path(root).expanduser()
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    if not suffix or not path.is_file():
        return root
    folder = path.with_name(path.name[: -len(suffix)])
    if not folder.exists():
        with atomic.only_writer(folder):
            if not folder.exists():
                logger.info("unpacking %s into %s", path, folder)
                _unpack(path, folder)
    return str(_data_set(path, folder))


def _unpack(path: Path, folder: Path) -> None:
    temporary = folder.with_name(f".{folder.name}.unpacking{atomic.SUFFIX}")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
    try:
        if zipfile.is_zipfile(path):
            _unzip(path, temporary)
        else:
            with tarfile.open(path) as archive:
                members = [member for member in archive if MAC_FOLDER not in PurePosixPath(member.name).parts]
                _check_room(path, sum(member.size for member in members))
                archive.extractall(temporary, members, filter="data")
        temporary.rename(folder)
    except Exception as error:  # a damaged archive makes its reader fail in many ways
        reason = str(error).partition("\n")[0].rstrip(" :") or type(error).__name__
        raise ValueError(f"{path} cannot be unpacked ({reason}): download it again, or unpack it by hand") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unzip(path: Path, folder: Path) -> None:
    # Not shutil.unpack_archive, which silently skips members with unsafe names and keeps the backslashes of Windows.
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            member.filename = member.filename.replace("\\", "/")
            inside = PurePosixPath(member.filename)
            if inside.is_absolute() or ".." in inside.parts or ":" in "".join(inside.parts[:1]):
                raise ValueError(f"{member.filename} would be written outside of its folder")
        # A member such as `./` has no parts: it is the folder itself.
        parts = {member: PurePosixPath(member.filename).parts for member in members}
        members = [member for member in members if parts[member] and MAC_FOLDER not in parts[member]]
        _check_room(path, sum(member.file_size for member in members))
        folder.mkdir()
        archive.extractall(folder, members)


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(f"it needs {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free")


def _data_set(path: Path, folder: Path) -> Path:
    inside = folder
    while not _has_layout(inside):
        folders = [entry for entry in sorted(inside.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        found = [entry for entry in folders if _has_layout(entry)]
        if len(found) > 1 and not OFFICIAL_NAMES.intersection(entry.name for entry in found):
            raise ValueError(
                f"{path} holds {len(found)} data sets ({', '.join(entry.name for entry in found)}), "
                f"which are now in {inside}: set data.root (--root) to one of these folders"
            )
        if len(folders) != 1:
            return found[0] if len(found) == 1 else folder
        inside = folders[0]
    return inside


def _has_layout(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in LAYOUT_FOLDERS)
