"""Pretrained weights from a file of timm, torchvision or torchreid."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from torchreid_rgbir.extras import require
from torchreid_rgbir.files import checkpoint

CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.")  # their rows are classes, which a training replaces
CONTAINERS = ("state_dict", "model", "model_state_dict")  # the keys under which files contain weights
MAX_LISTED = 3  # weights in an error message


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Reads the weights in a file of PyTorch (.pth, .pt, .tar, .bin) or safetensors onto the CPU. Nothing is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or contains no weights.
    """
    path = Path(path).expanduser()
    if path.suffix == ".safetensors" and path.is_file():
        require("timm", "safetensors")
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}): download it again") from None
    state: Any = checkpoint.load(path)
    state = next((state[key] for key in CONTAINERS if isinstance(state.get(key), dict)), state)
    weights = {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"{path} contains no weights: give a file of pretrained weights")
    return weights


def load_pretrained(
    network: nn.Module,
    path: str | Path,
    translate: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None,
) -> None:
    """Loads the weights in a file into a network, in place. The classifier may differ or be missing.

    Weights under different names fit if all of them have the network's shapes, in the network's order.

    Args:
        network: one of timm, torchvision or torchreid, not yet divided into streams.
        path: of the file.
        translate: timm's function for files in the form of a network's authors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or contains the weights of a different network.
    """
    weights, own = read_weights(path), network.state_dict()
    if any(name.startswith("layer0.") for name in weights):
        raise ValueError(f"{path} contains a trained two-stream network: set model.load_weights to it")
    shapes, own_shapes = ([value.shape for value in state.values()] for state in (weights, own))
    if weights.keys() != own.keys() and shapes == own_shapes:
        weights = dict(zip(own, weights.values(), strict=True))
    elif translate is not None:
        with contextlib.suppress(KeyError, RuntimeError):  # it expects the weights of this network
            weights = translate(weights, network)
    fitting = {name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}
    faults = sorted(
        name
        for name in (own.keys() | weights.keys()) - fitting.keys()
        if not name.startswith(CLASSIFIERS) and not name.endswith("num_batches_tracked")  # old files lack the counters
    )
    if faults:
        raise ValueError(
            f"{path} contains the weights of a different network than {type(network).__name__} "
            f"({_described(faults, own, weights)}): set model.name to that network, or give the file of this one"
        )
    network.load_state_dict(fitting, strict=False)


def _described(faults: list[str], own: dict[str, Tensor], weights: dict[str, Tensor]) -> str:
    texts: Iterable[str] = (
        f"it lacks {name}"
        if name not in weights
        else f"the network has no {name}"
        if name not in own
        else f"{name} is {tuple(weights[name].shape)} in the file and {tuple(own[name].shape)} in the network"
        for name in faults[:MAX_LISTED]
    )
    others = f", and {len(faults) - MAX_LISTED} more" if len(faults) > MAX_LISTED else ""
    return ", ".join(texts) + others
