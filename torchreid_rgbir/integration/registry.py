"""Parts of one's own: a data set, a backbone or a loss, registered under a name by a Python file that `--import FILE.py` reads."""

import argparse
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.losses.mso import MSOLoss
from torchreid_rgbir.losses.registry import LOSSES, OwnLoss
from torchreid_rgbir.models import MODELS, DualResNet

# The losses that come with the package.
TAKEN = {name.removeprefix("weight_") for name in inspect.signature(MSOLoss).parameters if name.startswith("weight_")}


def register_dataset(name: str, dataset: type[CrossModalImageDataset]) -> None:
    """Makes a data set known to `-s NAME`, `data.sources` and torchreid.

    Args:
        name: of the data set.
        dataset: called as `dataset(root=..., **kwargs)`, with `data.root` and torchreid's further arguments.

    Raises:
        ValueError: something else than a CrossModalImageDataset, or a name that another data set has.
    """
    if not (isinstance(dataset, type) and issubclass(dataset, CrossModalImageDataset)):
        raise ValueError(f"data set {name} is no subclass of torchreid_rgbir.data.CrossModalImageDataset")
    host.register_image_dataset(name, dataset)


def register_model(name: str, factory: Callable[..., DualResNet]) -> None:
    """Makes a two-stream backbone known to `model.name` and torchreid.

    Args:
        name: of the model; checkpoints hold it.
        factory: called as `factory(num_classes, loss=..., pretrained=..., last_stride=...)`, and by torchreid with `use_gpu` as well; makes a
            `DualResNet` whose `name` is this one.

    Raises:
        ValueError: a name that another model has.
    """
    host.register_model(name, factory)
    MODELS[name] = factory


def register_loss(name: str, loss: OwnLoss) -> None:
    """Makes a loss of the features a part of the method's sum, with the key `loss.mso.weight_NAME`, which is 0 until it is set.

    Args:
        name: lower-case letters, digits and underscores; the log calls the loss `loss_NAME`.
        loss: called as `loss(features, pids, num_ids)`, in single precision: features (B, D) after batch normalization, not normalized;
            pids (B,); the number P of identities. The RGB half comes first, the same identities in the same order in both halves, an
            identity's K images together. Returns a scalar.

    Raises:
        ValueError: a name that is none, or that another loss has.
    """
    if not name.isidentifier() or name != name.lower():
        raise ValueError(f"loss {name!r}: name it with lower-case letters, digits and underscores")
    if name in TAKEN or LOSSES.setdefault(name, loss) is not loss:
        raise ValueError(f"there already is a loss {name}: choose another name")


def import_file(file: str) -> None:
    """Runs a Python file once, as `import` does; meant as an argparse type.

    Its folder joins Python's path, so that worker processes find the classes that it defines.

    Raises:
        argparse.ArgumentTypeError: there is no such file, its name is taken, or it fails; says where.
    """
    path = Path(file).expanduser().absolute()
    if path.suffix != ".py" or not path.is_file():
        raise argparse.ArgumentTypeError(f"{file} is no Python file: give the path of a .py file")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # whatever a user's program raises
        raise argparse.ArgumentTypeError(f"{_place(error, path)}: {type(error).__name__}: {error}") from error
    if module.__file__ is None or not path.samefile(module.__file__):
        raise argparse.ArgumentTypeError(f"{file}: Python has another module {path.stem}, rename the file")


def _place(error: Exception, path: Path) -> str:
    """Where in the file it went wrong, as far as the traceback tells."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
