"""A model from its checkpoint alone: the file contains the backbone, the number of classes and the image size."""

from pathlib import Path
from typing import Any

from torch import nn

from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS, TwoStreamNetwork


def load_model(path: str | Path) -> tuple[TwoStreamNetwork, dict]:
    """Rebuilds the model of a checkpoint that `train` wrote.

    Args:
        path: of the checkpoint.

    Returns:
        The model on the CPU, in evaluation mode, and the checkpoint's metadata, which include the configuration.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, does not name its model, or contains a model that is not a two-stream network.
    """
    state = checkpoint.load(path)
    about = state.get("about") or {}
    described = about.get("model", {})
    if described.get("name", "") not in (*MODELS, ""):
        raise ValueError(
            f"{path} contains a {described['name']}, which is not a known two-stream model: give a checkpoint of a "
            "dual_resnet, or register the model with --import FILE.py"
        )
    if "name" not in described or "images" not in about:
        raise ValueError(f"{path} does not name its model: give a checkpoint that `torchreid-rgbir train` wrote")
    model = MODELS[described["name"]](described["num_classes"], pretrained=False, last_stride=described["last_stride"])
    checkpoint.load_weights(model, path, state=state)
    return model.eval(), about


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
