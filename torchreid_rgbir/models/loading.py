"""A model from its checkpoint alone: backbone, classes and image size stand in the file."""

from pathlib import Path

from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS, DualResNet


def load_model(path: str | Path) -> tuple[DualResNet, dict]:
    """Rebuilds the model of a checkpoint that `train` wrote.

    Args:
        path: the checkpoint.

    Returns:
        The model on the CPU, in evaluation mode, and what the checkpoint says of itself (`build.about`), its configuration among it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or one that does not say which model it holds.
    """
    about = checkpoint.load(path).get("about") or {}
    described = about.get("model", {})
    if described.get("name", "") not in (*MODELS, ""):
        raise ValueError(
            f"{path} holds a {described['name']}, no two-stream model that is known here: give a checkpoint of a dual_resnet, "
            "or --import FILE.py, which registers it"
        )
    if "name" not in described or "images" not in about:
        raise ValueError(
            f"{path} does not say which model it holds: give a checkpoint that `torchreid-rgbir train` wrote"
        )
    model = MODELS[described["name"]](described["num_classes"], pretrained=False, last_stride=described["last_stride"])
    checkpoint.load_weights(model, path)
    return model.eval(), about
