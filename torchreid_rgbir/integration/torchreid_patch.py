"""Lets code written for torchreid train the method unchanged: torchreid's names return the plugin's classes for RGB-IR data.

After `install()`, `ImageDataManager` returns a `CrossModalDataManager` if the sources have RGB and IR images, and
`ImageTripletEngine` returns a `CrossModalEngine` if the data manager is one. Both are subclasses of what was called, so
`isinstance` and subclassing still work. Other calls reach torchreid as before.
"""

import inspect
import logging
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.images import parse_ir_range
from torchreid_rgbir.data.manager import CrossModalDataManager, is_cross_modal
from torchreid_rgbir.engine.schedule import WARMUPS, build_lr_scheduler
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.integration import patched_classes, settings, torchreid_tools
from torchreid_rgbir.integration.patched_classes import resumed, without_data_parallel
from torchreid_rgbir.models import MODELS, TwoStreamNetwork, loading
from torchreid_rgbir.runs.options import warn_of_ir_range

logger = logging.getLogger(__name__)


def install(overrides: Sequence[str] = (), file: str = "") -> None:
    """Prepares torchreid for RGB-IR data. A second call only changes the settings.

    Args:
        overrides: KEY VALUE words for the plugin's keys, such as ["loss.pef.entry", "conv2"]. torchreid's own keys are
            arguments of torchreid's functions.
        file: A configuration file whose keys of the plugin are used.

    Raises:
        ValueError: A key is unknown or torchreid's, or a value is not valid.
        FileNotFoundError: The file is missing.
    """
    settings.current = settings.read(overrides, file)
    host.alias()
    _patch_class(host.data.ImageDataManager, _choose_data_manager)
    _patch_class(host.data.VideoDataManager, _choose_video)
    _patch_class(host.engine.ImageTripletEngine, _choose_triplet)
    _patch_class(host.engine.ImageSoftmaxEngine, _choose_softmax)
    if not hasattr(host.optim.build_lr_scheduler, "__wrapped__"):
        _replace(host.models, "", "build_model", _build_model)
        _replace(host.optim, "lr_scheduler", "build_lr_scheduler", _build_lr_scheduler)
        _replace(host.utils, "torchtools", "resume_from_checkpoint", _resume_from_checkpoint)
        _replace(host.utils, "torchtools", "load_pretrained_weights", _load_pretrained_weights)
        _replace(host.utils, "loggers", "Logger", _logger)


def _patch_class(original: type, choose: Callable[[dict[str, Any]], type | None]) -> None:
    """Makes `original(...)` return an instance of the subclass that `choose` returns for its arguments, if any."""
    if "__new__" in vars(original):
        return
    signature = inspect.signature(original)

    @wraps(vars(original)["__init__"])  # so that the class keeps its signature
    def __new__(cls, *args, **kwargs):
        # Subclasses by users are left alone. A call with wrong arguments fails in __init__, with Python's message.
        try:
            arguments = signature.bind(*args, **kwargs).arguments if cls is original else {}
        except TypeError:
            arguments = {}
        return object.__new__(choose(arguments) or cls if arguments else cls)

    original.__new__ = __new__  # type: ignore[method-assign,assignment]


def _choose_data_manager(arguments: dict[str, Any]) -> type | None:
    if not any(is_cross_modal(name) for name in _sources(arguments)):
        return None
    # torchreid's tools read the images in order, as torchreid loads them, and train nothing.
    is_tool = arguments.get("train_sampler") == "SequentialSampler"
    return torchreid_tools.PlainDataManager if is_tool else patched_classes.PatchedDataManager


def _choose_video(arguments: dict[str, Any]) -> None:
    for name in _sources(arguments):
        if is_cross_modal(name):
            raise ValueError(f"data.type is video, but {name} has images: set data.type image")


def _sources(arguments: dict[str, Any]) -> list[str]:
    sources = arguments.get("sources") or []
    return [sources] if isinstance(sources, str) else list(sources)


def _choose_triplet(arguments: dict[str, Any]) -> type | None:
    if not _is_cross_modal_call(arguments):
        return None
    model = without_data_parallel(arguments["model"])
    if model.loss != "mso":
        raise ValueError(f"loss.name is {model.loss}, but {model.name} is trained with mso: set loss.name mso")
    return patched_classes.PatchedEngine


def _choose_softmax(arguments: dict[str, Any]) -> None:
    if _is_cross_modal_call(arguments):
        name = without_data_parallel(arguments["model"]).name
        raise ValueError(f"loss.name is softmax, but {name} is trained with mso: set loss.name mso")


def _is_cross_modal_call(arguments: dict[str, Any]) -> bool:
    """Returns whether data and model both have two modalities.

    Raises:
        ValueError: Only one of them has two modalities.
    """
    datamanager, model = arguments["datamanager"], without_data_parallel(arguments["model"])
    two_modalities, two_streams = isinstance(datamanager, CrossModalDataManager), isinstance(model, TwoStreamNetwork)
    sources = ", ".join(datamanager.sources)
    if two_streams and not two_modalities:
        raise ValueError(
            f"{model.name} needs RGB and IR images, but {sources} has images of one modality: choose an RGB-IR source "
            "such as sysu_mm01, or one of torchreid's models"
        )
    if two_modalities and not two_streams:
        raise ValueError(
            f"{type(model).__name__} takes images of one modality, but {sources} has two: choose dual_resnet50, or train "
            "torchreid's models on both with `torchreid-rgbir compare`"
        )
    return two_streams


def _replace(package: Any, module: str, name: str, replacement: Callable) -> None:
    """Replaces a function of torchreid in a package and in the module that defines it. The first argument is the original."""
    original = getattr(package, name)
    wrapped = wraps(original, updated=())(partial(replacement, original))
    for owner in (package, getattr(package, module) if module else package):
        setattr(owner, name, wrapped)


def _build_model(original, name, num_classes, loss="softmax", pretrained=True, use_gpu=True):
    if name in MODELS:
        data = settings.current.data  # the size is that of the data manager, which is built before
        options = {key: settings.current.model[key] for key in ("last_stride", *loading.OPTIONS)}
        return loading.build_model(name, num_classes, loss, pretrained, options, (data.height, data.width))
    return original(name, num_classes, loss, pretrained, use_gpu)


def _build_lr_scheduler(original, optimizer, lr_scheduler="single_step", stepsize=1, gamma=0.1, max_epoch=1):
    given = (optimizer, lr_scheduler, stepsize, gamma, max_epoch)
    train = settings.current.train
    if lr_scheduler in WARMUPS:
        return build_lr_scheduler(*given, train.warmup_epoch, train.warmup_start)
    return original(*given)


def _resume_from_checkpoint(original, fpath, model, optimizer=None, scheduler=None):
    # The engine trains and saves the model without DataParallel.
    inner = model.module if isinstance(getattr(model, "module", None), TwoStreamNetwork) else model
    epoch = original(fpath, inner, optimizer, scheduler)
    if isinstance(inner, TwoStreamNetwork):
        warn_of_ir_range(str(parse_ir_range(settings.current.data.ir_range)), checkpoint.load(fpath))
        resumed[inner] = fpath, epoch  # the engine loads the rest of the checkpoint
    return epoch


def _load_pretrained_weights(original, model, weight_path):
    if not isinstance(model, TwoStreamNetwork):
        return original(model, weight_path)
    state = checkpoint.load(weight_path)
    missing = checkpoint.load_weights(model, weight_path, settings.current.model.allow_partial, state)
    warn_of_ir_range(str(parse_ir_range(settings.current.data.ir_range)), state)
    if missing:
        logger.warning("%s lacks weights, which keep their initial values: %s", weight_path, ", ".join(missing))


def _logger(original, fpath=None):
    return original(fpath if distributed.rank() == 0 else None)
