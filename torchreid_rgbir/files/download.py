"""Files from a URL or Google Drive: fetched once into torch's cache, never half, and checked where a checksum is given."""

import errno
import hashlib
import logging
import re
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urldefrag, urlparse

import gdown
import torch

from torchreid_rgbir.files import atomic

logger = logging.getLogger(__name__)

DRIVE_ID = re.compile(r"[\w-]{25,}")
TIMEOUT = 30  # seconds without an answer
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def is_remote(source: str) -> bool:
    """Whether `source` is a URL or a Google Drive id rather than a path; `#sha256=...&size=...` may follow either."""
    name = urldefrag(source).url
    is_url = name.startswith(("http://", "https://"))
    return is_url or (DRIVE_ID.fullmatch(name) is not None and not Path(source).expanduser().exists())


def fetch(source: str) -> Path:
    """The local copy of a file.

    Args:
        source: a URL or a Google Drive id; `#sha256=HEX`, `#size=BYTES` or `#sha256=HEX&size=BYTES` after it is checked.

    Returns:
        Its path in torch's cache ($TORCH_HOME/hub/checkpoints); a file that is there already is not fetched again.

    Raises:
        ValueError: it cannot be downloaded, or is not the file that was meant.
        OSError: it cannot be written.
    """
    address, fragment = urldefrag(source)
    wanted = {key: values[-1].lower() for key, values in parse_qs(fragment).items()}
    name = Path(urlparse(address).path).name
    folder = Path(torch.hub.get_dir(), "checkpoints")
    path = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name}"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    logger.info("downloading %s to %s", address, path)
    with atomic.replacing(path, "w+b") as file:
        try:
            (_from_drive if DRIVE_ID.fullmatch(address) else _from_url)(address, file)
        except (OSError, HTTPException, gdown.exceptions.FileURLRetrievalError) as error:
            if getattr(error, "errno", None) in OF_THE_DISK:
                raise
            reason = getattr(error, "reason", None) or str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"{address} cannot be downloaded ({reason}): download it elsewhere and give the path of the file"
            ) from error
        _check(file, address, wanted)
    return path


def _from_url(address: str, file: IO[bytes]) -> None:
    with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
        shutil.copyfileobj(response, file)
        stated = response.headers.get("Content-Length")
    # The end of a broken connection looks like the end of the file.
    if stated and file.tell() != int(stated):
        raise HTTPException(f"the connection ended after {file.tell()} of {stated} bytes")


def _from_drive(identity: str, file: IO[bytes]) -> None:
    gdown.download(id=identity, output=file, quiet=True)  # type: ignore[arg-type]


def _check(file: IO[bytes], address: str, wanted: dict[str, str]) -> None:
    size = file.tell()
    if "size" in wanted and wanted["size"] != str(size):
        raise ValueError(f"{address} has {size} bytes, not {wanted['size']}: it is not the file that was meant")
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    if "sha256" in wanted and wanted["sha256"] != digest.hexdigest():
        raise ValueError(
            f"{address} has the checksum {digest.hexdigest()}, not {wanted['sha256']}: it is not the file that was meant"
        )
