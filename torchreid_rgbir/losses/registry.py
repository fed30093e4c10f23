"""The registry of losses. Built-in losses and a user's own are registered in the same way, in one file each."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from torchreid_rgbir.models.batch import Batch, Outputs

Loss = Callable[[Outputs, Batch], Tensor]
REACHES = ("all", "features", "layer0")


class Option(NamedTuple):
    """An option of a loss, which becomes a configuration key.

    Attributes:
        default: a bool, a number or a text.
        values: the allowed texts, or the smallest and the largest number. Empty for a bool.
        key: the configuration key. When empty, it is `loss.NAME.OPTION`.
        help: one line for the table of keys.
        file: a text that is not among `values` is the path of a file.
    """

    default: bool | int | float | str
    values: tuple = ()
    key: str = ""
    help: str = ""
    file: bool = False


class RegisteredLoss(NamedTuple):
    """One entry of the registry.

    Attributes:
        loss: a function (outputs, batch, **options), or a class whose instances are called with (outputs, batch).
        weight: the default weight. 0 disables the loss.
        options: by name.
        compares_images: with `train.gather_features`, the loss sees the features of all processes.
        autocast: the loss runs under the autocast of the training step.
        reaches: the layers that its gradient reaches, one of `REACHES`.
        help: one line for the table of keys.
    """

    loss: Callable[..., Any]
    weight: float
    options: Mapping[str, Option]
    compares_images: bool
    autocast: bool
    reaches: str
    help: str

    def build(self, num_classes: int | None, feature_dim: int | None, **options: Any) -> Loss:
        """Makes the loss.

        Raises:
            ValueError: an option has a value that it does not take, or the constructor needs a size that is not given.
        """
        for name, value in options.items():
            allowed = self.options[name].values
            if isinstance(value, str) and value not in allowed and not self.options[name].file:
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
    autocast: bool = False,
    reaches: str = "all",
    help: str = "",
) -> None:
    """Adds a loss to the method's sum, with the configuration key `loss.mso.weight_NAME`.

    Args:
        name: lower-case letters, digits and underscores. The log shows the loss as `loss_NAME`.
        loss: a function `loss(outputs, batch, **options)` that returns a scalar, or a class whose instances are called
            with `(outputs, batch)`. A class is constructed with its options, and with `num_classes` (N) and `feature_dim`
            (D) if its constructor has these parameters. The trainable parameters of an `nn.Module` are trained with
            the model's and saved in checkpoints. Logits and features are in single precision.
        weight: the default weight. 0 disables the loss.
        options: they become configuration keys and are passed as keyword arguments.
        compares_images: with `train.gather_features` the loss sees logits, features, pooled features and identities of all
            processes. The images and maps that it sees are always those of its own process.
        autocast: leave mixed precision (`train.amp`) active inside the loss. This is for a loss with a network of its own,
            which must compute distances and sums in single precision itself. For all other losses it is off.
        reaches: the layers that its gradient reaches: "all", "features" (all but the classifier) or "layer0". A training whose
            open layers no loss reaches is refused.
        help: one line about the loss.

    Raises:
        ValueError: the name is not valid, a different loss has it, `reaches` is unknown, an option is not complete, or the loss cannot be called so.
    """
    if not name.isidentifier() or name != name.lower():
        raise ValueError(f"loss {name!r}: the name must consist of lower-case letters, digits and underscores")
    if reaches not in REACHES:
        raise ValueError(f"loss {name}: reaches is {reaches!r}, choose from {', '.join(REACHES)}")
    options = dict(options or {})
    _check_options(name, options)
    entry = RegisteredLoss(
        _with_contract(name, loss, options), weight, options, compares_images, autocast, reaches, help
    )
    known = LOSSES.setdefault(name, entry)
    if known is not entry and (_original(known.loss), *known[1:]) != (loss, *entry[1:]):
        raise ValueError(f"a loss named {name} is registered already: choose a different name")


def _check_options(name: str, options: Mapping[str, Option]) -> None:
    shared = {option.key: option for other in LOSSES.values() for option in other.options.values() if option.key}
    for short, option in options.items():
        number = isinstance(option.default, (int, float)) and not isinstance(option.default, bool)
        if number and len(option.values) != 2:
            raise ValueError(f"loss {name}, option {short}: values must be the smallest and the largest number")
        if isinstance(option.default, str) and option.default not in option.values:
            raise ValueError(
                f"loss {name}, option {short}: values must list the allowed texts, with {option.default!r}"
            )
        if option.key and not option.key.endswith(f".{short}"):
            raise ValueError(f"loss {name}, option {short}: the key must end with .{short}, got {option.key}")
        if shared.get(option.key, option).default != option.default:
            raise ValueError(
                f"loss {name}, option {short}: the default of {option.key} is {shared[option.key].default} already, "
                f"not {option.default}"
            )


def _with_contract(name: str, loss: Callable[..., Any], options: Mapping[str, Option]) -> Callable[..., Any]:
    """The loss itself, or a function in the older form `f(features, pids, num_ids)` as one of (outputs, batch)."""
    try:
        signature = inspect.signature(loss)
    except ValueError:  # some functions that are written in C have no signature
        return loss
    if isinstance(loss, type) or _takes(signature, 2, options):
        return loss
    if options or next(iter(signature.parameters), "") == "outputs" or not _takes(signature, 3, {}):
        raise ValueError(
            f"loss {name}: write it as loss(outputs, batch, {', '.join(options) or '...'}), with outputs.features, batch.pids "
            "and batch.num_ids, and name every further argument in options"
        )

    def of_features(outputs: Outputs, batch: Batch) -> Tensor:
        return loss(outputs.features, batch.pids, batch.num_ids)

    of_features.original = loss  # type: ignore[attr-defined]
    return of_features


def _takes(signature: inspect.Signature, num_arguments: int, options: Mapping[str, Option]) -> bool:
    try:
        signature.bind(*[None] * num_arguments, **dict.fromkeys(options))
    except TypeError:
        return False
    return True


def _original(loss: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(loss, "original", loss)
