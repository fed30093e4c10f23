"""Images decoded and resized once, kept as one uint8 array in a file that every process shares.

A file is named after its contents (every path, size and modification time, and the size of the images), so a changed, added or removed image makes
another file, and a file of that name never changes: nobody waits for anybody, and two processes that build at once write the same.
"""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.data.loading import Loader, worker_errors
from torchreid_rgbir.data.transforms import Decode
from torchreid_rgbir.terminal import progress

logger = logging.getLogger(__name__)

FORMAT = 1  # of the file, and of how its pixels are made; another one makes another name
MEMORY = Path("/dev/shm")  # Linux's file system in memory
ABANDONED = 3600  # seconds without a write, after which a build is dead


class DecodedImages:
    """Decoded images by path.

    Images are read, not mapped: the pages stay the system's, which shares them between processes, and a process never holds more than its batch.
    (Mapped, a batch of 64 images of 288 x 144 is 2,000 page faults, which take longer than the copy.)

    Args:
        path: the file, of `cache_images`.
        impaths: of its images, in its order.
        height, width: of each image.
        temporary: remove the file when this process ends; those that have it open go on.
    """

    def __init__(self, path: Path, impaths: Sequence[str], height: int, width: int, temporary: bool = False):
        self.path = path
        self.rows = {impath: row for row, impath in enumerate(impaths)}
        self.shape = (height, width, 3)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        if temporary:
            weakref.finalize(self, path.unlink, missing_ok=True)

    def __getitem__(self, impath: str) -> Tensor:
        """(3, height, width) uint8, channels last in memory."""
        return self.batch([impath])[0]

    def batch(self, impaths: Sequence[str]) -> Tensor:
        """(B, 3, height, width) uint8, channels last in memory, where each image is read to its place: nothing is copied once more."""
        images = np.empty((len(impaths), *self.shape), np.uint8)
        for pixels, impath in zip(images, impaths, strict=True):
            num_bytes = os.preadv(self._file.fileno(), [pixels.data], self.rows[impath] * pixels.nbytes)
            if num_bytes != pixels.nbytes:
                raise OSError(f"{self.path} was cut short while it was read: remove it, the next run builds it again")
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _file=open(state["path"], "rb", buffering=0))  # noqa: SIM115


def cache_images(
    impaths: Sequence[str],
    height: int,
    width: int,
    kind: str,
    folder: str | Path,
    name: str,
    workers: int = 0,
) -> DecodedImages:
    """Opens the cache of these images; builds it where it does not exist yet, and removes the one that it supersedes.

    Args:
        impaths: the images' files, in any order.
        height, width: what they are resized to.
        kind: "disk", or "ram" for a file in the machine's memory, which is removed when the run ends. (A run that is killed leaves it for the next.)
        folder: for "disk", where the file lies; made when missing.
        name: of the set of images; a new file replaces older ones of that name and image size.
        workers: processes that decode.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: an image that cannot be read, or no memory file system.
        OSError: the folder cannot be written, or is full; no broken cache is left.
    """
    impaths = sorted(set(impaths))
    if kind == "ram":
        if not MEMORY.is_dir():
            raise ValueError(f"data.cache ram needs {MEMORY}, which this system lacks: choose data.cache disk")
        folder = MEMORY / f"torchreid_rgbir-{os.getuid()}"
    family = f"{name}-{height}x{width}"
    path = Path(folder).expanduser().absolute() / f"{family}-{_digest(impaths, height, width)}.uint8"
    if not path.is_file() or path.stat().st_size != len(impaths) * height * width * 3:
        try:
            _build(path, impaths, height, width, workers)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno is None:  # not of the cache
                raise
            advice = "choose data.cache disk" if kind == "ram" else "set data.cache_dir to a folder with room"
            raise OSError(
                f"data.cache {kind} cannot be written to {path.parent} ({error.strerror}): {advice}, or data.cache none"
            ) from None
    logger.debug("decoded images: %s", path)
    for other in path.parent.glob(f"{family}-*.uint8"):
        if other != path:
            other.unlink(missing_ok=True)
    return DecodedImages(path, impaths, height, width, temporary=kind == "ram")


def _build(path: Path, impaths: Sequence[str], height: int, width: int, workers: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.writing"):
        with contextlib.suppress(FileNotFoundError):  # its build has just ended
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
    size, free = len(impaths) * height * width * 3, shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
    beside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    loader = Loader(_Decoded(impaths, Decode(height, width)), batch_size=64, num_workers=workers)
    try:
        with (
            worker_errors(),
            open(beside, "wb") as file,
            progress(None, "decoding images", len(impaths), unit="image") as bar,
        ):
            for images in loader:
                file.write(memoryview(images.numpy()))
                bar.update(len(images))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class _Decoded(Dataset):
    """uint8 pixels (height, width, 3) of each image."""

    def __init__(self, impaths: Sequence[str], decode: Decode):
        self.impaths = impaths
        self.decode = decode

    def __len__(self) -> int:
        return len(self.impaths)

    def __getitem__(self, index: int) -> Tensor:
        return self.decode(read_image(self.impaths[index])).permute(1, 2, 0)


def _digest(impaths: Sequence[str], height: int, width: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {height} {width}".encode())
    for impath in impaths:
        try:
            stat = os.stat(impath)
        except FileNotFoundError:
            raise FileNotFoundError(f"{impath} is missing: it was there when the data set was listed") from None
        digest.update(
            f"\0{os.path.abspath(impath)}\0{stat.st_size}\0{stat.st_mtime_ns}".encode(errors="surrogateescape")
        )
    return digest.hexdigest()[:16]
