"""Files of weights from a URL or Google Drive: downloaded once into torch's cache, completely, and checked if a checksum is given."""

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

from torchreid_rgbir.files import atomic, hub

logger = logging.getLogger(__name__)

DRIVE_ID = re.compile(r"[\w-]{25,}")
TIMEOUT = 30  # seconds without an answer
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # of this machine, not of the network


def is_remote(source: str) -> bool:
    """Whether `source` is a URL, an address on the hub or a Google Drive id rather than a path.

    `#sha256=...&size=...` may follow.
    """
    name = urldefrag(source).url
    is_url = name.startswith(("http://", "https://", hub.SCHEME))
    return is_url or (DRIVE_ID.fullmatch(name) is not None and not Path(source).expanduser().exists())


def fetch(source: str) -> Path:
    """Returns the path of a file of weights, which is downloaded unless torch's cache ($TORCH_HOME/hub/checkpoints) has it.

    Two processes that need the same file download it once.

    Args:
        source: a URL or a Google Drive id. `#sha256=HEX`, `#size=BYTES` or both (`#sha256=HEX&size=BYTES`) are checked.
            A path of this machine is returned as it is. For `hf://ORG/NAME`, a model on Hugging Face's hub, the folder
            of the model in the hub's own cache is returned (see `hub.download`).

    Raises:
        ValueError: the file cannot be downloaded, is a web page or a text, or differs from its checksum or size.
            Nothing is kept.
        OSError: the file cannot be written, or another process downloads it and makes no progress.
    """
    if hub.is_address(source):
        return hub.download(source)
    if not is_remote(source):
        return Path(source)
    address, fragment = urldefrag(source)
    expected = {key: values[-1].lower() for key, values in parse_qs(fragment).items()}
    name = Path(urlparse(address).path).name
    folder = Path(torch.hub.get_dir(), "checkpoints")
    path = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{name}"
    if not _is_kept(path):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic.only_writer(path):
            if not _is_kept(path):
                _download(address, path, expected)
    return path


def _is_kept(path: Path) -> bool:
    # Earlier versions kept a web page that a server sent in place of the file.
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return not _text_kind(file.read(512))


def _download(address: str, path: Path, expected: dict[str, str]) -> None:
    # Not torch.hub.download_url_to_file, which takes a broken connection for the end of the file and never times out.
    logger.info("downloading %s to %s", address, path)
    with atomic.replacing(path, "w+b") as file:
        try:
            (_from_drive if DRIVE_ID.fullmatch(address) else _from_url)(address, file)
        except (OSError, HTTPException, gdown.exceptions.FileURLRetrievalError) as error:
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            reason = getattr(error, "reason", None) or str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"{address} cannot be downloaded ({reason}): download it by hand and give the path of the file"
            ) from error
        _check(file, address, expected)


def _from_url(address: str, file: IO[bytes]) -> None:
    with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
        shutil.copyfileobj(response, file)
        stated = response.headers.get("Content-Length")
    # The end of a broken connection looks like the end of the file.
    if stated and file.tell() != int(stated):
        raise HTTPException(f"the connection ended after {file.tell()} of {stated} bytes")


def _from_drive(identity: str, file: IO[bytes]) -> None:
    gdown.download(id=identity, output=file, quiet=True)  # type: ignore[arg-type]


def _check(file: IO[bytes], address: str, expected: dict[str, str]) -> None:
    size = file.tell()
    file.seek(0)
    kind = _text_kind(file.read(512))
    if kind:
        raise ValueError(
            f"{address} is {kind}, not a file of weights: the server may require a login or the address may have "
            "changed. Open it in a browser, download the file and give its path"
        )
    if "size" in expected and expected["size"] != str(size):
        raise ValueError(f"{address} has {size} bytes instead of {expected['size']}: check the address and the size")
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    if "sha256" in expected and expected["sha256"] != digest.hexdigest():
        raise ValueError(
            f"{address} has the checksum {digest.hexdigest()} instead of {expected['sha256']}: "
            "check the address and the checksum"
        )


def _text_kind(beginning: bytes) -> str:
    """What a file is if it cannot be weights, whose first bytes are never text; empty if it can."""
    if not beginning:
        return "an empty file"
    if beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "a web page"
    return "" if any(byte < 32 and byte not in b"\t\r\n" or byte > 126 for byte in beginning) else "a text"
