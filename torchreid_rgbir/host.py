"""Access to torchreid in either distribution. This is the only module that uses private parts of torchreid.

PyPI's `torchreid` has its modules under `torchreid.reid`, a GitHub checkout has the same code directly under
`torchreid`. Other modules use `host.data`, `host.utils` and so on.
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
            raise  # torchreid is installed, but a package that it imports is not
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
    # PyPI's torchreid has no Cython evaluator. The plugin has its own ranking.
    warnings.filterwarnings("ignore", message="Cython evaluation")
    torchreid = _find()
data, engine, losses, metrics, models, optim, utils = (
    getattr(torchreid, name) for name in ("data", "engine", "losses", "metrics", "models", "optim", "utils")
)

# ImageTripletEngine with weight_x > 0 is a softmax + triplet engine. Some versions have a class of that name.
SoftmaxTripletEngine = getattr(engine, "ImageSoftmaxTripletEngine", engine.ImageTripletEngine)


def register_image_dataset(name: str, dataset: type) -> None:
    """Registers a data set under `name`. Registering the same class again does nothing.

    Raises:
        ValueError: The name belongs to a different data set.
    """
    if image_datasets().get(name) is not dataset:
        data.register_image_dataset(name, dataset)


def image_datasets() -> dict[str, type]:
    """Returns all registered data sets. torchreid can only register them."""
    return _private(importlib.import_module(f"{torchreid.__name__}.data.datasets"), "__image_datasets")


def register_model(name: str, factory: Callable[..., nn.Module]) -> None:
    """Registers a model, whose `factory(num_classes, loss, pretrained, use_gpu)` torchreid's `build_model` calls.

    Raises:
        ValueError: The name belongs to a different model.
    """
    # torchreid has no public model registry.
    factories = _private(models, "__model_factory")
    if factories.setdefault(name, factory) is not factory:
        raise ValueError(f"torchreid already has a model {name}: choose another name")


def model_names() -> list[str]:
    """Returns the names of all registered models. torchreid can only print them."""
    return sorted(_private(models, "__model_factory"))


def publish(package: str, **names: object) -> None:
    """Makes classes available where a torchreid user looks for them, such as `torchreid.losses.MSOLoss`.

    Publishing the same class again does nothing.

    Raises:
        ValueError: torchreid has something else under the name.
    """
    module = getattr(torchreid, package)
    for name, value in names.items():
        found = getattr(module, name, value)
        if found is not value:
            raise ValueError(
                f"torchreid.{package}.{name} is {found!r} already, so torchreid_rgbir cannot publish its own class under this "
                "name: rename it there, or import torchreid_rgbir first"
            )
        setattr(module, name, value)


def _private(module, name: str) -> dict:
    try:
        return getattr(module, name)
    except AttributeError:
        raise ImportError(
            f"{module.__name__}.{name} is missing: torchreid {getattr(torchreid, '__version__', '?')} is not "
            "supported by torchreid_rgbir, install torchreid 0.2.5 or GitHub's 1.4.0"
        ) from None


def alias() -> None:
    """Makes `torchreid.data` and so on importable with PyPI's package, as scripts for a GitHub checkout import them."""
    top, inside = torchreid.__name__.partition(".")[0], torchreid.__name__ + "."
    if torchreid.__name__ == top:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith(inside):
            sys.modules.setdefault(f"{top}.{name.removeprefix(inside)}", module)


def allow_stock_checkpoints() -> None:
    """Lets `torch.load(weights_only=True)` read torchreid's checkpoints, in which `rank1` is a NumPy scalar."""
    scalar = (getattr(np, "_core", None) or np.core).multiarray.scalar
    float_types = [type(np.dtype(name)) for name in ("float32", "float64")]
    torch.serialization.add_safe_globals([scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *float_types])
