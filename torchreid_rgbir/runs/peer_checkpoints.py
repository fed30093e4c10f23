"""Converts checkpoints of other projects to checkpoints of this package, and back.

The names of weights follow the authors' code: mangye16/Cross-Modal-Re-ID-baseline (AGW and CAJ, commit e817a26),
LuckyDC/RGB-IR-ReID-Baseline (49801f8) and workingcoder/MCJA (efc1ffe). AGW and CAJ have the same network.
"""

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchreid_rgbir import config
from torchreid_rgbir.engine.metadata import versions
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.agw import NON_LOCAL
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.models.mcja import ADAPTERS

NUM_TRAINED = {"sysu": 395, "regdb": 206}  # training identities, by the last word of a recipe's name
ADDED_BY_TORCH = "num_batches_tracked"  # files of old versions of torch lack it; the network does not use it
SCORES = ("epoch", "mAP", "mINP", "cmc")  # what AGW's code writes besides weights


class Format(NamedTuple):
    """How a project names the weights of its network.

    Attributes:
        recipes: the configurations with its network. A file gets the first one whose network it contains. If one of them
            has as many training identities as the file, it comes first.
        names: beginnings of names, ours -> theirs.
        neck: the beginning of BNNeck's names. Its bias is 0 and never trained.
        unused: beginnings of names that the network does not use -> where their values come from when the project's file
            is written. Empty if the project's code does not need them.
        wrapped: weights are under "net", next to `SCORES`.
    """

    recipes: Sequence[str]
    names: Mapping[str, str]
    neck: str
    unused: Mapping[str, str]
    wrapped: bool = False

    def their_name(self, name: str) -> str:
        """Returns the project's name of a weight."""
        start = max((start for start in self.names if name.startswith(start)), key=len)
        return self.names[start] + name.removeprefix(start)


def _inserted(places: Mapping[str, Sequence[int]], ours: str, theirs: str, parts: Mapping[str, str]) -> dict[str, str]:
    """The names of blocks that `add_after_blocks` inserted. The projects number them within each layer."""
    return {
        f"{layer}.{block}_{ours}.{part}.": f"{theirs}_{layer[-1]}.{number}.{their_part}."
        for layer, blocks in places.items()
        for number, block in enumerate(blocks)
        for part, their_part in parts.items()
    }


_AGW = Format(
    recipes=("agw_sysu", "agw_regdb"),
    names={
        "": "",  # BNNeck and the classifier
        "layer": "base_resnet.base.layer",
        "layer0.rgb.": "visible_module.visible.",
        "layer0.ir.": "thermal_module.thermal.",
        **_inserted(
            NON_LOCAL, "non_local", "NL", {"theta": "theta", "phi": "phi", "g": "g.0", "W": "W.0", "bn": "W.1"}
        ),
    },
    neck="bottleneck.",
    unused={
        "visible_module.visible.layer": "base_resnet.base.layer",
        "thermal_module.thermal.layer": "base_resnet.base.layer",
        "base_resnet.base.conv1.": "visible_module.visible.conv1.",
        "base_resnet.base.bn1.": "visible_module.visible.bn1.",
    },
    wrapped=True,
)
_ONE_STREAM = {
    "": "",  # the classifier
    "layer": "backbone.layer",
    "layer0.rgb.": "backbone.",
    "layer0.ir.": "backbone.",
    "bottleneck.": "bn_neck.",
}
_ADAPTER_PARTS = {"attention": "sc_conv", "gate": "ca_conv", "gate_norm": "ca_bn", "norm": "norm_bn"}
FORMATS = {
    "agw": _AGW,
    "caj": _AGW._replace(recipes=("caj_sysu", "caj_regdb")),
    "luckydc": Format(("luckydc_sysu",), _ONE_STREAM, "bn_neck.", {}),
    "mcja": Format(
        ("mcja_sysu", "mcja_regdb"),
        _ONE_STREAM | _inserted(ADAPTERS, "mda", "MDA", _ADAPTER_PARTS),
        "bn_neck.",
        {"backbone.fc.": ""},
    ),
}


def read(path: str | Path, name: str) -> dict[str, Any]:
    """Reads a project's file. Nothing in it is executed.

    Args:
        path: of the file.
        name: of the project, a key of `FORMATS`.

    Returns:
        A checkpoint of this package, with weights and everything that is needed to build the model. The project's
        scores, if the file has them, are under 'scores', and the name of a configuration with this network under
        'recipe'.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, has a different format, a different network, or objects other than weights.
    """
    chosen = FORMATS[name]
    try:
        with torch.serialization.safe_globals(_numpy_values()):  # type: ignore[arg-type]
            found = checkpoint.load(path)
    except ValueError as error:
        raise ValueError(str(error).replace(checkpoint.ADVICE, f"give a file that {name}'s code wrote")) from None
    theirs = found.get("net") if chosen.wrapped else found
    if not isinstance(theirs, dict) or not all(isinstance(value, Tensor) for value in theirs.values()):
        what = 'weights under "net"' if chosen.wrapped else "only weights"
        raise ValueError(f"{path} is not a file of {name}, which contains {what}: choose a different --from")
    try:
        if "classifier.weight" not in theirs:
            raise ValueError("it lacks classifier.weight")
        num_classes = len(theirs["classifier.weight"])
        recipe, weights = _fitting(theirs, chosen, num_classes)
    except ValueError as error:
        raise ValueError(f"{path} does not contain {name}'s network ({error}): choose a different --from") from None
    cfg = config.load(recipe)
    scores = {key: np.asarray(found[key]).tolist() for key in SCORES if key in found} if chosen.wrapped else {}
    return {
        "state_dict": weights,
        "scores": scores,
        "recipe": recipe,
        "about": {
            "model": {"name": cfg.model.name, "num_classes": num_classes, "last_stride": cfg.model.last_stride},
            "images": {key: cfg.data[key] for key in ("height", "width", "norm_mean", "norm_std", "ir_range")},
            "versions": versions(),
            "config": cfg.dump(),
        },
    }


def write(source: str | Path, name: str, path: str | Path) -> None:
    """Writes a checkpoint of this package as a file of a project, which the project's code can load.

    Parts of the project's network that it never uses are copies of the parts that it uses.

    Args:
        source: the checkpoint.
        name: of the project, a key of `FORMATS`.
        path: of the file to write.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is damaged or has a different network.
        OSError: the file cannot be written.
    """
    chosen = FORMATS[name]
    model, about = load_model(source)
    networks = {config.load(recipe).model.name for recipe in chosen.recipes}
    if model.name not in networks:
        raise ValueError(f"{source} contains a {model.name}, but {name}'s network is {' or '.join(sorted(networks))}")
    theirs = {chosen.their_name(key): value for key, value in model.state_dict().items()}
    theirs[f"{chosen.neck}bias"] = torch.zeros_like(theirs[f"{chosen.neck}weight"])
    for unused, used in chosen.unused.items():
        if used:
            theirs |= {unused + key.removeprefix(used): theirs[key] for key in list(theirs) if key.startswith(used)}
    state = checkpoint.load(source)
    scores = state.get("scores", {"epoch": state.get("epoch", 0)})
    checkpoint.save({"net": theirs} | scores if chosen.wrapped else theirs, path)


def _fitting(theirs: dict[str, Tensor], chosen: Format, num_classes: int) -> tuple[str, dict[str, Tensor]]:
    """The recipe for a file's network, and its weights with our names.

    Raises:
        ValueError: no recipe has the network. The message describes the first difference.
    """
    faults = []
    for recipe in sorted(chosen.recipes, key=lambda recipe: NUM_TRAINED[recipe.split("_")[-1]] != num_classes):
        cfg = config.load(recipe)
        with torch.device("meta"):  # only names and shapes
            model = MODELS[cfg.model.name](num_classes, pretrained=False, last_stride=cfg.model.last_stride)
        try:
            return recipe, _renamed(theirs, chosen, model.state_dict())
        except ValueError as error:
            faults.append(error)
    raise faults[0]


def _renamed(theirs: dict[str, Tensor], chosen: Format, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for key, value in ours.items():
        name = chosen.their_name(key)
        if name not in theirs and not name.endswith(ADDED_BY_TORCH):
            raise ValueError(f"it lacks {name}")
        weights[key] = theirs.get(name, torch.tensor(0))
        if weights[key].shape != value.shape:
            raise ValueError(f"{name} is {tuple(weights[key].shape)}, expected {tuple(value.shape)}")
    bias = f"{chosen.neck}bias"
    if bias in theirs and theirs[bias].any():
        raise ValueError(f"{bias} is not 0")
    known = {chosen.their_name(key) for key in ours} | {bias}
    others = [key for key in theirs if key not in known and not key.startswith(tuple(chosen.unused))]
    if others:
        raise ValueError(f"it also has {others[0]}")
    return weights


def _numpy_values() -> list[Any]:
    """The functions and types that NumPy's numbers and arrays of numbers are stored with, under the names of NumPy 1 and 2."""
    functions: list[Any] = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    named = [
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for function in functions
        for core in ("core", "_core")
    ]
    kinds = {type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")}
    # torch's files store bytes as text, which `codecs.encode` turns back.
    return [*named, np.ndarray, np.dtype, codecs.encode, *kinds]
