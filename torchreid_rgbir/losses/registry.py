"""The registry of losses. Built-in losses and a user's own are registered in the same way, in one file each."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from torchreid_rgbir.models.batch import Batch, Outputs

Loss = Callable[[Outputs, Batch], Tensor]


class Option(NamedTuple):
    """An option of a loss, which becomes a configuration key.

    Attributes:
        default: a bool, a float or a text.
        values: the values that it takes. For a float these are the smallest and the largest one. Empty for a bool.
        key: the configuration key. When empty, it is `loss.NAME.OPTION`.
        help: one line for the table of keys.
    """

    default: bool | float | str
    values: tuple = ()
    key: str = ""
    help: str = ""


class RegisteredLoss(NamedTuple):
    """One entry of the registry.

    Attributes:
        loss: a function (outputs, batch, **options), or a class whose instances are called with (outputs, batch).
        weight: the default weight. 0 disables the loss.
        options: by name.
        compares_images: with `train.gather_features`, the loss sees the features of all processes.
        help: one line for the table of keys.
    """

    loss: Callable[..., Any]
    weight: float
    options: Mapping[str, Option]
    compares_images: bool
    help: str

    def build(self, num_classes: int | None, feature_dim: int | None, **options: Any) -> Loss:
        """Makes the loss.

        Raises:
            ValueError: an option has a value that it does not take, or the constructor needs a size that is not given.
        """
        for name, value in options.items():
            allowed = self.options[name].values
            if isinstance(value, str) and value not in allowed:
                raise ValueError(f"{name} is {value!r}: choose from {', '.join(allowed)}")
        if not isinstance(self.loss, type):
            return functools.partial(self.loss, **options) if options else self.loss
        known = inspect.signature(self.loss).parameters
        sizes = {"num_classes": num_classes, "feature_dim": feature_dim}
        sizes = {name: size for name, size in sizes.items() if name in known}
        if None in sizes.values():
            raise ValueError(f"{self.loss.__name__} needs {' and '.join(sizes)}: give them to MSOLoss")
        return self.loss(**sizes, **options)


LOSSES: dict[str, RegisteredLoss] = {}


def register_loss(
    name: str,
    loss: Callable[..., Any],
    weight: float = 0.0,
    options: Mapping[str, Option] | None = None,
    compares_images: bool = True,
    help: str = "",
) -> None:
    """Adds a loss to the method's sum, with the configuration key `loss.mso.weight_NAME`.

    Args:
        name: lower-case letters, digits and underscores. The log shows the loss as `loss_NAME`.
        loss: a function `loss(outputs, batch, **options)` that returns a scalar, or a class whose instances are called
            with `(outputs, batch)`. A class is constructed with its options, and with `num_classes` (N) and `feature_dim`
            (D) if its constructor has these parameters. The trainable parameters of an `nn.Module` are trained with
            the model's and saved in checkpoints. Autocast is off, and logits and features are in single precision.
        weight: the default weight. 0 disables the loss.
        options: they become configuration keys and are passed as keyword arguments.
        compares_images: with `train.gather_features` the loss sees logits, features, pooled features and identities of all
            processes. The images and maps that it sees are always those of its own process.
        help: one line about the loss.

    Raises:
        ValueError: the name is not valid, or a different loss has it.
    """
    if not name.isidentifier() or name != name.lower():
        raise ValueError(f"loss {name!r}: the name must consist of lower-case letters, digits and underscores")
    entry = RegisteredLoss(_with_contract(loss), weight, dict(options or {}), compares_images, help)
    known = LOSSES.setdefault(name, entry)
    if known is not entry and getattr(known.loss, "original", known.loss) is not loss:
        raise ValueError(f"a loss named {name} is registered already: choose a different name")


def _with_contract(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss itself, or a loss in the older form `f(features, pids, num_ids)` as one of (outputs, batch)."""
    if isinstance(loss, type) or _parameters(loss) != ["features", "pids", "num_ids"]:
        return loss

    def of_features(outputs: Outputs, batch: Batch) -> Tensor:
        return loss(outputs.features, batch.pids, batch.num_ids)

    of_features.original = loss  # type: ignore[attr-defined]
    return of_features


def _parameters(loss: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(loss).parameters)
    except ValueError:  # some functions that are written in C have no signature
        return []
