"""A data set that is still packed: unpacked once, beside its archive, and nowhere else."""

import logging
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from torchreid_rgbir.files import atomic

logger = logging.getLogger(__name__)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def unpacked(root: str) -> str:
    """The folder of a data root, which may be an archive; anything else comes back as it is.

    Args:
        root: `data.root`: a folder, or a .zip or .tar file, which is unpacked into the folder of its name unless that is there.

    Raises:
        ValueError: a damaged archive, one that would write outside of its folder, or too little room.
    """
    path = Path(root).expanduser()
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    if not suffix or not path.is_file():
        return root
    folder = path.with_name(path.name[: -len(suffix)])
    if not folder.exists():
        logger.info("unpacking %s into %s", path, folder)
        _unpack(path, folder)
    return str(folder)


def _unpack(path: Path, folder: Path) -> None:
    beside = folder.with_name(f".{folder.name}{atomic.SUFFIX}")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    try:
        if zipfile.is_zipfile(path):
            _unzip(path, beside)
        else:
            with tarfile.open(path) as archive:
                _check_room(path, sum(member.size for member in archive))
                archive.extractall(beside, filter="data")
        beside.rename(folder)
    except Exception as error:  # a damaged archive trips its readers in as many ways as they have lines
        reason = str(error).partition("\n")[0].rstrip(" :") or type(error).__name__
        raise ValueError(f"{path} cannot be unpacked ({reason}): get it again, or unpack it yourself") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unzip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = PurePosixPath(name.replace("\\", "/"))
            if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                raise ValueError(f"{name} would be written outside of its folder")
        _check_room(path, sum(member.file_size for member in archive.infolist()))
        archive.extractall(folder)


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(f"it needs {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free")
