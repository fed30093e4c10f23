"""Decoded and resized images in one uint8 file that all processes share.

The name of the file depends on its content: every path, size and modification time, the size of the images and `data.ir_range`.
So a changed, added or removed image leads to a new file, and a file of a given name never changes.
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

from torchreid_rgbir.data.images import file_of, parse_ir_range, read_image
from torchreid_rgbir.data.loading import Loader, worker_errors
from torchreid_rgbir.data.transforms import Decode
from torchreid_rgbir.files import atomic
from torchreid_rgbir.terminal import progress

logger = logging.getLogger(__name__)

FORMAT = 2  # version of the file and of how its pixels are made; a new version leads to new names
MEMORY_FOLDER = Path("/dev/shm")  # Linux's file system in memory
MAX_IDLE = 3600  # seconds without a write, after which a temporary file belongs to a process that was killed


class DecodedImages:
    """Decoded images by path.

    Images are read, not mapped into memory: the system caches the file once for all processes, and a process never holds
    more than its batch. (Mapped, a batch of 64 images of 288 x 144 is 2,000 page faults, which take longer than the copy.)

    Args:
        path: the file, written by `cache_images`.
        impaths: the paths of its images, in its order.
        height, width: size of each image.
        temporary: remove the file when this process ends. Processes that have it open can still read it.
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
        """(B, 3, height, width) uint8, channels last in memory. Each image is read directly into its place."""
        images = np.empty((len(impaths), *self.shape), np.uint8)
        for pixels, impath in zip(images, impaths, strict=True):
            num_bytes = os.preadv(self._file.fileno(), [pixels.data], self.rows[impath] * pixels.nbytes)
            if num_bytes != pixels.nbytes:
                raise OSError(
                    f"{self.path} was cut short while it was read: remove it, and the next run builds it again"
                )
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
    ir_range: str = "auto",
) -> DecodedImages:
    """Opens the cache of these images. Builds it first if it does not exist, and removes an outdated one.

    Args:
        impaths: the image files, in any order.
        height, width: size that the images are resized to.
        kind: "disk", or "ram" for a file in memory that is removed when the run ends. (A killed run leaves it for the
            next one.)
        folder: for "disk", the folder of the file; it is made if it does not exist.
        name: of the set of images. A new file replaces older ones with the same name and image size.
        workers: number of processes that decode.
        ir_range: `data.ir_range`, see `data.images.parse_ir_range`.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: an image cannot be read, or the system has no file system in memory.
        OSError: the folder cannot be written or is full; no incomplete cache is left.
    """
    impaths = sorted(set(impaths))
    if kind == "ram":
        if not MEMORY_FOLDER.is_dir():
            raise ValueError(
                f"data.cache ram requires {MEMORY_FOLDER}, which this system lacks: choose data.cache disk"
            )
        folder = MEMORY_FOLDER / f"torchreid_rgbir-{os.getuid()}"
    family = f"{name}-{height}x{width}"
    path = Path(folder).expanduser().absolute() / f"{family}-{_digest(impaths, height, width, ir_range)}.uint8"
    num_bytes = len(impaths) * height * width * 3

    def is_complete() -> bool:
        return path.is_file() and path.stat().st_size == num_bytes

    def build() -> None:
        with atomic.only_writer(path):
            if not is_complete():
                try:
                    _build(path, impaths, Decode(height, width), num_bytes, workers, ir_range)
                except OSError as error:
                    if isinstance(error, FileNotFoundError) or error.errno is None:  # an image's error, not the cache's
                        raise
                    advice = "choose data.cache disk" if kind == "ram" else "set data.cache_dir to a folder with room"
                    reason = f"data.cache {kind} cannot be written to {path.parent} ({error.strerror})"
                    raise OSError(f"{reason}: {advice}, or data.cache none") from None

    def open_images() -> DecodedImages:
        if not is_complete():
            build()
        return DecodedImages(path, impaths, height, width, temporary=kind == "ram")

    try:
        images = open_images()
    except FileNotFoundError:
        if path.exists() or not all(os.path.exists(file_of(impath)) for impath in impaths):
            raise
        images = open_images()  # a run with other settings removed the file before it was open
    logger.debug("decoded images: %s", path)
    for other in path.parent.glob(f"{family}-*.uint8"):
        if other != path:
            other.unlink(missing_ok=True)
    return images


def _build(path: Path, impaths: Sequence[str], decode: Decode, size: int, workers: int, ir_range: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".*{atomic.SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - left.stat().st_mtime > MAX_IDLE:
                left.unlink()
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
    # Not atomic.replacing, which would take the error of an image for one of this file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}{atomic.SUFFIX}")
    loader = Loader(_Decoded(impaths, decode, ir_range), batch_size=64, num_workers=workers)
    try:
        with (
            worker_errors(),
            open(temporary, "wb") as file,
            progress(None, "decoding images", len(impaths), unit="image") as bar,
        ):
            for images in loader:
                file.write(memoryview(images.numpy()))
                bar.update(len(images))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Decoded(Dataset):
    """The uint8 pixels of each image, (height, width, 3)."""

    def __init__(self, impaths: Sequence[str], decode: Decode, ir_range: str):
        self.impaths = impaths
        self.decode = decode
        self.ir_range = ir_range

    def __len__(self) -> int:
        return len(self.impaths)

    def __getitem__(self, index: int) -> Tensor:
        return self.decode(read_image(self.impaths[index], self.ir_range)).permute(1, 2, 0)


def _digest(impaths: Sequence[str], height: int, width: int, ir_range: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {height} {width} {parse_ir_range(ir_range)}".encode())
    for impath in impaths:
        try:
            stat = os.stat(file_of(impath))
        except FileNotFoundError:
            raise FileNotFoundError(f"{impath} is missing: it was there when the data set was listed") from None
        digest.update(
            f"\0{os.path.abspath(impath)}\0{stat.st_size}\0{stat.st_mtime_ns}".encode(errors="surrogateescape")
        )
    return digest.hexdigest()[:16]
