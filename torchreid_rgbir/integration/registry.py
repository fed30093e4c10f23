"""Custom data sets, backbones and losses. A user registers them by name in a Python file that `--import FILE.py` runs."""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.losses.registry import register_loss
from torchreid_rgbir.models import MODELS, TwoStreamNetwork
from torchreid_rgbir.models.timm_factory import check_name, timm_factory

__all__ = ["import_file", "register_dataset", "register_loss", "register_model", "register_timm"]


def register_dataset(name: str, dataset: type[CrossModalImageDataset]) -> None:
    """Makes a data set known to `-s NAME`, `data.sources` and torchreid.

    Args:
        name: of the data set.
        dataset: called as `dataset(root=..., **kwargs)`, with `data.root` and torchreid's other arguments.

    Raises:
        ValueError: it is not a subclass of CrossModalImageDataset, or a different data set has the name.
    """
    if not (isinstance(dataset, type) and issubclass(dataset, CrossModalImageDataset)):
        raise ValueError(f"data set {name} must be a subclass of torchreid_rgbir.data.CrossModalImageDataset")
    host.register_image_dataset(name, dataset)


def register_model(name: str, factory: Callable[..., TwoStreamNetwork]) -> None:
    """Makes a two-stream backbone known to `model.name` and torchreid.

    Args:
        name: of the model. It is saved in checkpoints.
        factory: called as `factory(num_classes, loss=..., pretrained=..., last_stride=...)`, and by torchreid with
            `use_gpu`, too. It returns a `TwoStreamNetwork` whose `name` is this name.

    Raises:
        ValueError: a different model has the name.
    """
    host.register_model(name, factory)
    MODELS[name] = factory


def register_timm(network: str, name: str = "") -> str:
    """Makes a two-stream network from timm known to torchreid, too. `model.name timm/NETWORK` needs no registration.

    Args:
        network: timm's name, such as "vit_small_patch16_224", with or without the tag of its weights.
        name: of the two-stream network. By default it is `dual_`, followed by timm's name.

    Returns:
        The name.

    Raises:
        ValueError: timm is not installed or has no such network, or a different model has the name.
    """
    check_name(network)
    name = name or f"dual_{network}"
    register_model(name, timm_factory(name, network))
    return name


def import_file(file: str) -> None:
    """Runs a Python file once, as `import` does. It is an argparse type.

    The file's folder is added to Python's path, so that worker processes find the classes that the file defines.

    Raises:
        argparse.ArgumentTypeError: there is no such file, a different module has its name, or it fails.
    """
    path = Path(file).expanduser().absolute()
    if path.suffix != ".py" or not path.is_file():
        raise argparse.ArgumentTypeError(f"{file} is not a Python file: give the path of a .py file")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # the user's program may raise anything
        raise argparse.ArgumentTypeError(f"{_place(error, path)}: {type(error).__name__}: {error}") from error
    if module.__file__ is None or not path.samefile(module.__file__):
        raise argparse.ArgumentTypeError(f"{file}: Python already has a module named {path.stem}, rename the file")


def _place(error: Exception, path: Path) -> str:
    """The place of an error in the file, as far as the traceback shows it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
