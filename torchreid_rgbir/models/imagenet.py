"""ImageNet weights in torchvision's form, from torch's cache or from the network, or pretrained weights in a file."""

import os
import pickle
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from torchreid_rgbir.models.weights import load_pretrained


def start_from(network: nn.Module, pretrained: bool | str, weights: WeightsEnum) -> None:
    """Gives a network the initial weights that a factory's argument `pretrained` selects, in place.

    Args:
        network: the published network, not yet divided into streams.
        pretrained: True for ImageNet weights, False to leave the network as it is, or the path of a file with weights.
        weights: the ImageNet weights.

    Raises:
        FileNotFoundError: the file is missing, or the ImageNet weights cannot be downloaded.
        ValueError: a file is damaged, or contains the weights of a different network.
    """
    if isinstance(pretrained, str):
        load_pretrained(network, pretrained)
    elif pretrained:
        load_imagenet(network, weights, instead="set model.pretrained False")


def load_imagenet(module: nn.Module, weights: WeightsEnum, prefix: str = "", instead: str = "") -> None:
    """Loads ImageNet weights into a module, in place.

    Args:
        module: the published model, or the part of it that `prefix` selects.
        weights: one of torchvision's published weights.
        prefix: the beginning of the names of the module's weights in the file.
        instead: advice for a user without the file, such as "set model.pretrained False". It ends the error message.

    Raises:
        FileNotFoundError: the file is not in torch's cache and cannot be downloaded.
        ValueError: the file does not contain weights, or contains those of a different module.
    """
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(weights.url).path))
    state = _state_dict(weights, path, instead)
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(part)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not contain the weights {weights}: remove the file, so that it is downloaded again"
        ) from error


def _state_dict(weights: WeightsEnum, path: str, instead: str) -> dict[str, Tensor]:
    try:
        state = torch.hub.load_state_dict_from_url(weights.url, map_location="cpu", check_hash=True, weights_only=True)
    except (URLError, ConnectionError, TimeoutError) as error:
        choice = f", or {instead}" if instead else ""
        raise FileNotFoundError(
            f"{path} is missing and cannot be downloaded: put the file from {weights.url} there{choice}"
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:  # cut off, a different file, or a wrong checksum
        raise ValueError(f"{path} is damaged: remove the file if it exists, so that it is downloaded again") from error
    if not isinstance(state, dict):
        raise ValueError(
            f"{path} contains a {type(state).__name__} and no weights: remove the file, so that it is downloaded again"
        )
    return state
