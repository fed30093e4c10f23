"""Checkpoints: torchreid's file names and keys, written atomically, readable by `torch.load(weights_only=True)`."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

CLASSIFIER = "classifier."


def save(state: dict[str, Any], path: str | Path) -> None:
    """Writes a checkpoint beside its place and renames it, so that a file of that name is always whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.writing")
    try:
        with open(beside, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint of ours or of torchreid's own engines onto the CPU; nothing in the file is executed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no checkpoint, a damaged one, or one that holds more than weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the path of a checkpoint (model/model.pth.tar-EPOCH)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = str(error).split(":", 1)[-1].split(".")[0].strip()
        raise ValueError(f"{path} is no checkpoint of weights ({found}): it would run code, which is refused") from None
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path} is damaged or no checkpoint ({str(error).splitlines()[0] if str(error) else error!r})"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} is no checkpoint: expected a dict of weights, got {type(state).__name__}")
    return state


def load_weights(model: nn.Module, path: str | Path) -> list[str]:
    """Puts a checkpoint's weights into a model; only the classifier may differ, since other data has other identities.

    Returns:
        The names of the classifier's weights that were left as they are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or weights that do not fit; names the first.
    """
    state = load(path)
    weights = {key.removeprefix("module."): value for key, value in state.get("state_dict", state).items()}
    own = model.state_dict()
    kept = [
        key
        for key in own
        if key.startswith(CLASSIFIER) and (key not in weights or weights[key].shape != own[key].shape)
    ]
    for key in kept:
        weights[key] = own[key]
    missing = sorted(own.keys() - weights.keys())
    unknown = sorted(weights.keys() - own.keys())
    shaped = sorted(key for key in own.keys() & weights.keys() if own[key].shape != weights[key].shape)
    if missing or unknown or shaped:
        name = type(model).__name__
        if shaped:
            key = shaped[0]
            reason = f"{key} is {tuple(weights[key].shape)} there and {tuple(own[key].shape)} in the model"
        else:
            reason = f"it lacks {missing[0]}" if missing else f"the model has no {unknown[0]}"
        others = len(missing) + len(unknown) + len(shaped) - 1
        raise ValueError(
            f"{path} does not fit {name}: {reason}{f', and {others} more' if others else ''}; set model.name to what it was trained as"
        )
    model.load_state_dict(weights)
    return kept
