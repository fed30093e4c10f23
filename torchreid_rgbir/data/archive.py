"""A data set that is still packed: unpacked once, beside its archive, and nowhere else."""

import logging
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from torchreid_rgbir import atomic

logger = logging.getLogger(__name__)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def unpacked(root: str) -> str:
    """The folder of a data root, which may be an archive; anything else comes back as it is.

    Args:
        root: `data.root`: a folder, or a .zip or .tar file, which is unpacked into the folder of its name unless that is there.

    Raises:
        ValueError: a damaged archive, or one that would write outside of its folder.
        OSError: no room, or a folder that cannot be written.
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
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be unpacked ({error}): get it again") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unzip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = PurePosixPath(name.replace("\\", "/"))
            if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                raise ValueError(f"{path} would write outside of its folder ({name}): do not use it")
        _check_room(path, sum(member.file_size for member in archive.infolist()))
        archive.extractall(folder)


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(f"{path} needs {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: make room")
