"""torchreid, in either distribution: the only module that knows its insides.

PyPI's `torchreid` keeps everything under `torchreid.reid`, a GitHub checkout directly under `torchreid`; the code is the same. Other modules use
`host.data`, `host.utils` and so on, and the few private things that are needed below, each with its reason.
"""

import importlib
import sys
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn


def _find():
    try:
        return importlib.import_module("torchreid.reid")
    except ModuleNotFoundError as error:
        if error.name not in ("torchreid", "torchreid.reid"):
            raise  # torchreid is there, but something that it imports is not: its own message says what
    try:
        found = importlib.import_module("torchreid")
        # A folder called torchreid on the path imports as an empty namespace package.
        found.data.ImageDataManager  # noqa: B018
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name != "torchreid":
            raise
        raise ImportError(
            "torchreid is missing or too old for torchreid_rgbir: run `pip install torchreid`, "
            "or put a checkout of KaiyangZhou/deep-person-reid (1.4.0 or newer) on PYTHONPATH"
        ) from error
    return found


with warnings.catch_warnings():
    # PyPI's torchreid has no Cython evaluator to offer; the plugin ranks with its own.
    warnings.filterwarnings("ignore", message="Cython evaluation")
    torchreid = _find()
data, engine, losses, metrics, models, optim, utils = (
    getattr(torchreid, name) for name in ("data", "engine", "losses", "metrics", "models", "optim", "utils")
)

# The softmax + triplet engine: ImageTripletEngine with weight_x > 0, unless the host has a class of that name.
SoftmaxTripletEngine = getattr(engine, "ImageSoftmaxTripletEngine", engine.ImageTripletEngine)


def register_image_dataset(name: str, dataset: type) -> None:
    """Registers a data set under `name`; a second import of the plugin registers nothing twice.

    Raises:
        ValueError: the name belongs to another data set.
    """
    if find_image_dataset(name) is not dataset:
        data.register_image_dataset(name, dataset)


def find_image_dataset(name: str) -> type | None:
    """The data set registered under `name`, None where there is none."""
    # Registration is public, asking is not.
    return _private(importlib.import_module(f"{torchreid.__name__}.data.datasets"), "__image_datasets").get(name)


def register_model(name: str, factory: Callable[..., nn.Module]) -> None:
    """Registers a model, so that torchreid's `build_model(name, ...)` calls `factory(num_classes, loss, pretrained, use_gpu)`.

    Raises:
        ValueError: the name belongs to another model.
    """
    # torchreid has no public model registry.
    factories = _private(models, "__model_factory")
    if factories.setdefault(name, factory) is not factory:
        raise ValueError(f"torchreid already has a model {name}: choose another name")


def model_names() -> list[str]:
    """Of every registered model; torchreid itself only prints them."""
    return sorted(_private(models, "__model_factory"))


def _private(module, name: str) -> dict:
    try:
        return getattr(module, name)
    except AttributeError:
        raise ImportError(
            f"{module.__name__}.{name} is gone: this torchreid ({getattr(torchreid, '__version__', '?')}) is not one that "
            "torchreid_rgbir knows, install torchreid 0.2.5 or GitHub's 1.4.0"
        ) from None


def alias() -> None:
    """Lets scripts written for a GitHub checkout run on PyPI's package: `torchreid.data` and so on can be imported there too."""
    top, inside = torchreid.__name__.partition(".")[0], torchreid.__name__ + "."
    if torchreid.__name__ == top:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith(inside):
            sys.modules.setdefault(f"{top}.{name.removeprefix(inside)}", module)


def allow_stock_checkpoints() -> None:
    """Lets `torch.load(weights_only=True)` read the files of torchreid's own engines, which hold `rank1` as a numpy scalar."""
    scalar = (getattr(np, "_core", None) or np.core).multiarray.scalar
    float_types = [type(np.dtype(name)) for name in ("float32", "float64")]
    torch.serialization.add_safe_globals([scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *float_types])
