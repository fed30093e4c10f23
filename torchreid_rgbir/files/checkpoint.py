"""Checkpoint files with torchreid's keys, written atomically with a checksum. They contain no executable code."""

import hashlib
import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_rgbir.files import atomic, hub

CLASSIFIER = "classifier."
ADVICE = "give the path of a checkpoint (model/model.pth.tar-EPOCH)"
MAX_LISTED = 10  # names of weights in an error message
CHECKSUMS = "SHA256SUMS"  # the file with the checksums of a folder, in the format of `sha256sum --check`


def save(state: dict[str, Any], *paths: str | Path) -> None:
    """Writes a checkpoint to each path, and its checksum into SHA256SUMS in the same folder. Files are always complete.

    Raises:
        OSError: the disk is full or the folder is read-only. The previous files are unchanged.
    """
    content = io.BytesIO()
    torch.save(state, content)
    checksum = hashlib.sha256(content.getbuffer()).hexdigest()
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        checksums = read_checksums(path.parent)
        if checksums.pop(path.name, None):
            # A process that is killed between these writes leaves a file without a checksum, never one with a wrong one.
            write_checksums(path.parent, checksums)
        with atomic.replacing(path) as file:
            file.write(content.getbuffer())
        write_checksums(path.parent, checksums | {path.name: checksum})


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint of this package or of torchreid onto the CPU. Nothing in the file is executed.

    Args:
        path: a file, a folder that `export --layout hub` wrote, or an address on the hub, `hf://ORG/NAME`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is not a checkpoint, or contains objects other than weights; or it cannot be
            downloaded from the hub.
    """
    path = hub.download(str(path)) if hub.is_address(path) else Path(path).expanduser()
    if path.is_dir():
        return hub.read(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {ADVICE}")
    written = read_checksums(path.parent).get(path.name)
    if written and written != hub.sha256(path):
        raise ValueError(f"{path} is damaged (its checksum differs from {CHECKSUMS}): use the checkpoint before it")
    try:
        if not written and zipfile.is_zipfile(path):
            _check_records(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f" (it would run {unsafe[1]}, which is not allowed)" if unsafe else ""
        raise ValueError(f"{path} is not a checkpoint of weights{reason}: {ADVICE}") from None
    except Exception as error:  # torch's reader fails in many ways on damaged files
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(f"{path} is damaged or not a checkpoint ({reason}): {ADVICE}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is not a checkpoint, it contains a {type(state).__name__} and no weights: {ADVICE}")
    return state


def load_weights(
    model: nn.Module, path: str | Path, allow_partial: bool = False, state: dict[str, Any] | None = None
) -> list[str]:
    """Loads the weights of a checkpoint into a model. Only the classifier may differ, because it depends on the data.

    Args:
        allow_partial: other weights may also be missing or differ, as long as some fit.
        state: what the file contains, if it was read already.

    Returns:
        The names of the model's weights that were not changed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or weights do not fit. The message lists them.
    """
    state = load(path) if state is None else state
    found = state.get("state_dict", state)
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{path} contains no weights: {ADVICE}")
    weights = {str(key).removeprefix("module."): value for key, value in found.items()}
    own = model.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
    kept = sorted(own.keys() - fitting.keys())
    unfit = sorted(key for key in (own.keys() | weights.keys()) - fitting.keys() if not key.startswith(CLASSIFIER))
    if unfit and (not allow_partial or not fitting):
        faults = ", ".join(_fault(key, own, weights) for key in unfit[:MAX_LISTED])
        others = f", and {len(unfit) - MAX_LISTED} more" if len(unfit) > MAX_LISTED else ""
        raise ValueError(
            f"{path} does not fit {type(model).__name__} ({faults}{others}): "
            "set model.name to the model that was trained, or model.allow_partial True to load the weights that fit"
        )
    model.load_state_dict(fitting, strict=False)
    return kept


def read_checksums(folder: Path) -> dict[str, str]:
    """Returns the checksums in a folder's SHA256SUMS by file name. Other lines are ignored. The file may be missing."""
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
    return f"{key} is {tuple(weights[key].shape)} in the file and {tuple(own[key].shape)} in the model"


def _check_records(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:  # torch writes a checksum for each tensor but does not check it
        broken = archive.testzip()
    if broken:
        raise ValueError(f"the checksum of {broken} is wrong")
