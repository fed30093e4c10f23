"""One checkpoint: torchreid's keys, written atomically with a checksum, readable by `torch.load(weights_only=True)`."""

import hashlib
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from torchreid_rgbir.files import atomic

CLASSIFIER = "classifier."
NUM_NAMED = 10  # weights in an error's line
CHECKSUMS = "SHA256SUMS"  # of a folder's checkpoints, as `sha256sum --check` reads it


def save(state: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint so that a file of that name is always whole, and its checksum into its folder's SHA256SUMS.

    Raises:
        OSError: a full disk or a read-only folder; the files that were there are as they were.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    checksums = read_checksums(path.parent)
    if checksums.pop(path.name, None):
        # Whoever is killed between these writes leaves a whole file without a checksum, never one with a wrong one.
        write_checksums(path.parent, checksums)
    with atomic.replacing(path) as file:
        hashing = _HashingWriter(file)
        try:
            torch.save(state, hashing)  # type: ignore[arg-type]
        except RuntimeError:
            if hashing.error is None:
                raise
            raise hashing.error from None  # torch reports a full disk as an error of its own
    write_checksums(path.parent, checksums | {path.name: hashing.sha256.hexdigest()})


def copy(source: Path, path: Path) -> None:
    """Copies a checkpoint within its folder. That is faster than to serialize and hash the same state again.

    Raises:
        OSError: the copy cannot be written.
    """
    checksums = read_checksums(path.parent)
    if checksums.pop(path.name, None):
        write_checksums(path.parent, checksums)
    with open(source, "rb") as read, atomic.replacing(path) as file:
        shutil.copyfileobj(read, file, 1 << 20)
    write_checksums(path.parent, checksums | {path.name: checksums[source.name]})


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint of ours or of torchreid's own engines onto the CPU; nothing in the file is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no checkpoint, a damaged one, or one that holds more than weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the path of a checkpoint (model/model.pth.tar-EPOCH)")
    written = read_checksums(path.parent).get(path.name)
    if written and written != _sha256(path):
        raise ValueError(f"{path} is damaged (its checksum is not the one in {CHECKSUMS}): use the one before it")
    try:
        if not written and zipfile.is_zipfile(path):
            _check_records(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it would run {unsafe[1]}, which is refused" if unsafe else "give a file such as model/model.pth.tar-EPOCH"
        )
        raise ValueError(f"{path} is no checkpoint of weights: {reason}") from None
    except Exception as error:  # a damaged file trips torch's reader in as many ways as it has lines
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(f"{path} is damaged or no checkpoint ({reason})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint: expected a dict of weights, got {type(state).__name__}")
    return state


def load_weights(model: nn.Module, path: str | Path, allow_partial: bool = False) -> list[str]:
    """Puts a checkpoint's weights into a model; only the classifier may differ, since other data has other identities.

    Args:
        model: changed in place.
        path: of the checkpoint.
        allow_partial: other weights may be missing or differ too, as long as some fit.

    Returns:
        The names of the model's weights that were left as they are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or weights that do not fit; lists them.
    """
    state = load(path)
    found = state.get("state_dict", state)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{path} holds no named weights: give a checkpoint (model/model.pth.tar-EPOCH)")
    weights = {str(key).removeprefix("module."): value for key, value in found.items()}
    own = model.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
    kept = sorted(own.keys() - fitting.keys())
    unfit = sorted(key for key in (own.keys() | weights.keys()) - fitting.keys() if not key.startswith(CLASSIFIER))
    if unfit and (not allow_partial or not fitting):
        faults = "; ".join(_fault(key, own, weights) for key in unfit[:NUM_NAMED])
        others = f", and {len(unfit) - NUM_NAMED} more" if len(unfit) > NUM_NAMED else ""
        raise ValueError(
            f"{path} does not fit {type(model).__name__}: {faults}{others}; "
            "set model.name to what it was trained as, or model.allow_partial True to load what fits"
        )
    model.load_state_dict(fitting, strict=False)
    return kept


def read_checksums(folder: Path) -> dict[str, str]:
    """The checksums of a folder's files by name; empty where there are none. Lines that are none are passed over."""
    path = folder / CHECKSUMS
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return {name: checksum for checksum, name in re.findall(r"^([0-9a-f]{64})  (.+)$", text, re.MULTILINE)}


def write_checksums(folder: Path, checksums: dict[str, str]) -> None:
    """Replaces the folder's SHA256SUMS."""
    atomic.write_text(folder / CHECKSUMS, "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items()))


def _fault(key: str, own: dict[str, Any], weights: dict[str, Any]) -> str:
    if key not in weights:
        return f"it lacks {key}"
    if key not in own:
        return f"the model has no {key}"
    return f"{key} is {tuple(weights[key].shape)} there and {tuple(own[key].shape)} in the model"


def _check_records(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:  # torch writes a checksum for each tensor, and does not look at it
        broken = archive.testzip()
    if broken:
        raise ValueError(f"the checksum of {broken} is wrong")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _HashingWriter:
    """A file's `write` that keeps the checksum of what was meant to be written, and the error that stopped it."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()
