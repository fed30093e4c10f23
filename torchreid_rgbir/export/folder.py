"""Writes a trained model as a folder of its own, once what it computes has been compared with PyTorch."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from torchreid_rgbir.data.broken_images import find_broken_images
from torchreid_rgbir.data.images import IMAGE_SUFFIXES, read_image
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.export import standalone
from torchreid_rgbir.extras import require
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import DualResNet
from torchreid_rgbir.models.loading import load_model

logger = logging.getLogger(__name__)

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
LOADER = "reid_features.py"  # the standalone loader's name in the folder
TOLERANCE = 1e-4  # of a feature, where features are up to 1; relative to the largest where they are larger
NUM_FILES = 8  # looked at of a folder


def export(weights: str | Path, out: str | Path, images: Sequence[str | Path] = ()) -> dict[str, float]:
    """Writes rgb.onnx, ir.onnx, model.safetensors, model.json and the loader.

    Each graph takes `images` (batch, 3, H, W), normalized, and gives `features` (batch, D) after batch normalization.
    Nothing appears in `out` unless both ONNX Runtime's and the loader's own features agree with PyTorch's. A backbone that the loader cannot build
    is written as graphs alone, without model.safetensors.

    Args:
        weights: a checkpoint that `train` wrote.
        out: folder to write to; made where it is missing.
        images: files to compare on as well as on random images, or folders, of which a few files are taken; when empty,
            a few of the data that the model was trained on, if it is there.

    Returns:
        The largest difference on 'random' images and on 'files' (left out where there are none), as `TOLERANCE` counts it.

    Raises:
        FileNotFoundError: no checkpoint, or no image where they should be.
        ValueError: no checkpoint of ours, a file that is no image, a missing extra, or features that differ.
        NotADirectoryError: `out` is a file.
    """
    require("export", "onnx", "onnxscript", "onnxruntime", "safetensors")
    from safetensors.torch import save

    model, about = load_model(weights)
    files = find_images(images) if images else _training_images(about)
    out = Path(out).expanduser()
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    real = _prepared(files, about) if files else None
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as beside:
        folder = Path(beside)
        for modality, name in enumerate(NAMES):
            logger.info("writing the %s graph", name.upper())
            _write_graph(model, modality, about["images"], folder / f"{name}.onnx")
        backbone = about["model"]["name"]
        if standalone.knows(backbone):
            (folder / WEIGHTS).write_bytes(save(model.state_dict()))
        else:
            logger.warning("%s is left out: the loader builds torchvision's ResNets, not %s", WEIGHTS, backbone)
        description = {
            "model": about["model"] | {"feature": "bn", "feature_dim": model.feature_dim},
            "images": about["images"],
            "versions": about["versions"],
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        shutil.copy(standalone.__file__, folder / LOADER)
        logger.info("comparing what both compute")
        differences = _compare(model, folder, about["images"], files, real)
        out.mkdir(exist_ok=True)
        # Without its description a folder is no model: nobody loads half of an old one and half of a new one.
        for old in (DESCRIPTION, WEIGHTS):
            (out / old).unlink(missing_ok=True)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == DESCRIPTION):
            os.replace(path, out / path.name)
    return differences


def find_images(paths: Sequence[str | Path]) -> list[str]:
    """The files among `paths`, and the first few images below those that are folders.

    Raises:
        FileNotFoundError: a path that is not there, or a folder without an image.
    """
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: give image files, or folders that hold some")
        files = list(islice(_images_below(path), NUM_FILES)) if path.is_dir() else [str(path)]
        if not files:
            raise FileNotFoundError(f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)}): choose another folder")
        found += files
    return found


def _training_images(about: dict) -> list[str]:
    images = _images_below(Path(yaml.safe_load(about["config"])["data"]["root"]).expanduser())
    some = list(islice(images, 4 * NUM_FILES))
    broken = find_broken_images(some)  # which a run with data.skip_broken has passed over, too
    return [path for path in some if path not in broken][:NUM_FILES]


def _images_below(folder: Path) -> Iterator[str]:
    return (str(p) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def _prepared(files: Sequence[str], about: dict) -> torch.Tensor:
    images = about["images"]
    decode = Decode(images["height"], images["width"])
    batch = torch.stack([decode(read_image(path)) for path in files])  # (B, 3, H, W)
    return BatchTransforms([], images["norm_mean"], images["norm_std"]).normalize(batch).contiguous()


def _write_graph(model: DualResNet, modality: int, images: dict, path: Path) -> None:
    example = torch.zeros(2, 3, images["height"], images["width"])  # a batch of one would be taken for a constant
    torch.onnx.export(
        model.stream(modality),
        (example,),
        path,
        dynamo=True,
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def _compare(
    model: DualResNet, folder: Path, images: dict, files: Sequence[str], real: torch.Tensor | None
) -> dict[str, float]:
    differences = {"random": 0.0} | ({"files": 0.0} if real is not None else {})
    random = [torch.randn(num, 3, images["height"], images["width"]) for num in (1, 3)]
    loaders: dict[str, Callable] = {"ONNX Runtime": standalone.load_onnx}
    if (folder / WEIGHTS).exists():
        loaders["safetensors"] = standalone.load_torch
    for runtime, load in loaders.items():
        exported = load(folder)
        for modality, name in enumerate(NAMES):
            stream = model.stream(modality)
            with torch.inference_mode():
                pairs = [("random", exported.streams[name](batch.numpy()), stream(batch).numpy()) for batch in random]
                if real is not None:
                    pairs.append(("files", exported(files, name), stream(real).numpy()))
            for kind, found, expected in pairs:
                difference = _difference(found, expected)
                if not difference <= TOLERANCE:
                    raise ValueError(
                        f"the {name} features of {runtime} differ from PyTorch's by {difference:.1e} on {kind} images, "
                        f"{TOLERANCE:g} is allowed: nothing was written"
                    )
                differences[kind] = max(differences[kind], difference)
    return differences


def _difference(found: NDArray, expected: NDArray) -> float:
    return float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))
