"""A model from its checkpoint alone: the file contains the backbone, the number of classes and the image size."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_rgbir import host
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS, TwoStreamNetwork
from torchreid_rgbir.models.weights import load_pretrained

OPTIONS = {"pooling": "auto", "drop_path": 0.0}  # settings that only some networks have, with their defaults


def load_model(path: str | Path) -> tuple[TwoStreamNetwork, dict]:
    """Rebuilds the model of a checkpoint that `train` wrote.

    Args:
        path: of the checkpoint, of a folder in the hub's layout, or an address on the hub (see `checkpoint.load`).

    Returns:
        The model on the CPU, in evaluation mode, and the checkpoint's metadata, which include the configuration.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, does not name its model, or contains a model that is not a two-stream network.
    """
    state = checkpoint.load(path)
    about = state.get("about") or {}
    described = about.get("model", {})
    if described.get("name") and described["name"] not in MODELS:
        raise ValueError(
            f"{path} contains a {described['name']}, which is not a known two-stream model: give a checkpoint of a "
            "dual_resnet, or register the model with --import FILE.py"
        )
    if "name" not in described or "images" not in about:
        raise ValueError(f"{path} does not name its model: give a checkpoint that `torchreid-rgbir train` wrote")
    options = {key: value for key, value in described.items() if key not in ("name", "num_classes")}
    model = MODELS[described["name"]](described["num_classes"], pretrained=False, **options)
    model.set_image_size(about["images"]["height"], about["images"]["width"])
    checkpoint.load_weights(model, path, state=state)
    return model.eval(), about


def build_model(
    name: str, num_classes: int, loss: str, pretrained: bool | str, options: Mapping[str, Any], size: tuple[int, int]
) -> nn.Module:
    """Builds a two-stream network or one of torchreid's models for a configuration.

    Args:
        name: in `MODELS`, or torchreid's. A model of torchreid uses neither `options` nor `size`.
        num_classes: N, the number of training identities.
        loss: decides what training mode returns.
        pretrained: start from pretrained weights, the published ones or those in a file.
        options: `last_stride` and the keys of `OPTIONS`, with the configuration's values.
        size: height and width of the images, in pixels.

    Raises:
        FileNotFoundError: the pretrained weights are missing.
        ValueError: a setting or the size does not fit the network.
    """
    if name not in MODELS:
        try:
            network = host.models.build_model(name, num_classes, loss=loss, pretrained=pretrained is True)
        except OSError as error:  # urllib and requests both raise subclasses
            raise FileNotFoundError(
                f"the pretrained weights of {name} are not in {torch.hub.get_dir()}/checkpoints and cannot be "
                f"downloaded ({type(error).__name__}): put the file there, or set model.pretrained False"
            ) from error
        if isinstance(pretrained, str):
            load_pretrained(network, pretrained)
        return network
    options = {key: value for key, value in options.items() if key not in OPTIONS or value != OPTIONS[key]}
    taken = inspect.signature(MODELS[name]).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    if not takes_all and (unknown := options.keys() - taken.keys()):
        raise ValueError(f"model.{min(unknown)} is not available for {name}: remove it")
    model = MODELS[name](num_classes, loss=loss, pretrained=pretrained, **options)
    model.set_image_size(*size)
    return model


def bare_model(model: Any) -> Any:
    """The model inside torchreid's DataParallel, or the model itself.

    Raises:
        ValueError: a two-stream model is spread over several GPUs, which would cut a batch between its modalities.
    """
    if not isinstance(model, nn.DataParallel):
        return model
    if len(model.device_ids) > 1 and isinstance(model.module, TwoStreamNetwork):
        raise ValueError(
            f"DataParallel over {len(model.device_ids)} GPUs would cut a batch between its modalities: set "
            "CUDA_VISIBLE_DEVICES=0, or train on several GPUs with `torchrun --nproc_per_node=N tools/main.py`"
        )
    return model.module
