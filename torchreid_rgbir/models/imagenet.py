"""ImageNet weights of torchvision's models: taken from torch's cache or downloaded, or one clear line on what to do."""

import os
import pickle
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum


def load_imagenet(module: nn.Module, weights: WeightsEnum, prefix: str = "", instead: str = "") -> None:
    """Fills a module with ImageNet weights, in place.

    Args:
        module: the published model, or the part of it that `prefix` names.
        weights: one of torchvision's published weights.
        prefix: what the names of the module's weights begin with in the file.
        instead: what a user without the file can do instead; it ends the message of the error.

    Raises:
        FileNotFoundError: the file is not in torch's cache and cannot be downloaded.
        ValueError: the file is not a weights file, or not of this module.
    """
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(weights.url).path))
    state = _state_dict(weights, path, instead)
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(part)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights {weights}: remove it, so that it is downloaded") from error


def _state_dict(weights: WeightsEnum, path: str, instead: str) -> dict[str, Tensor]:
    try:
        state = torch.hub.load_state_dict_from_url(weights.url, map_location="cpu", check_hash=True, weights_only=True)
    except (URLError, ConnectionError, TimeoutError) as error:
        choice = f", or {instead}" if instead else ""
        raise FileNotFoundError(
            f"{path} is missing and cannot be downloaded: put the file of {weights.url} there{choice}"
        ) from error
    except (
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:  # cut off, of another kind, or of a wrong checksum
        raise ValueError(f"{path} is damaged: remove it if it is there, so that it is downloaded again") from error
    if not isinstance(state, dict):
        raise ValueError(
            f"{path} holds a {type(state).__name__}, not named weights: remove it, so that it is downloaded"
        )
    return state
