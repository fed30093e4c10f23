"""Exports a trained model to a folder, after comparing its features with PyTorch's."""

import json
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from torchreid_rgbir.data import images as image_reader
from torchreid_rgbir.data.broken_images import find_broken_images
from torchreid_rgbir.data.images import IMAGE_SUFFIXES, read_image
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.export import standalone
from torchreid_rgbir.extras import require
from torchreid_rgbir.files import atomic
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import DualResNet, TwoStreamNetwork
from torchreid_rgbir.models.loading import load_model

logger = logging.getLogger(__name__)

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
LOADER = "reid_features.py"  # name of the standalone loader in the folder
TOLERANCE = 1e-4  # largest difference of a feature, relative to the largest feature if that is above 1
NUM_FILES = 8  # images compared per folder


def export(weights: str | Path, out: str | Path, images: Sequence[str | Path] = ()) -> dict[str, float]:
    """Writes rgb.onnx, ir.onnx, model.safetensors, model.json and the loader.

    Each graph maps `images` (batch, 3, H, W), normalized, to `features` (batch, D) after batch normalization. Nothing is
    written to `out` unless the features of ONNX Runtime and of the loader agree with PyTorch's. If the loader cannot
    build the backbone, model.safetensors is omitted.

    Args:
        weights: a checkpoint that `train` wrote.
        out: folder to write to. It is made if it is missing.
        images: files to compare the features on, besides random images. A few files of each folder are taken. Empty
            selects a few images of the data that the model was trained on, if the data is there.

    Returns:
        The largest difference on 'random' images and on 'files', measured as `TOLERANCE` says. 'files' is omitted if
        there are none.

    Raises:
        FileNotFoundError: the checkpoint or an image is missing.
        ValueError: the checkpoint or an image cannot be read, an extra is not installed, or the features differ.
        NotADirectoryError: `out` is a file.
    """
    require("export", "onnx", "onnxscript", "onnxruntime", "safetensors")
    from safetensors.torch import save

    model, about = load_model(weights)
    files = find_images(images) if images else _training_images(about)
    real = _prepared(files, about) if files else None
    with atomic.filling(out, last=DESCRIPTION, stale=[WEIGHTS]) as folder:
        for modality, name in enumerate(NAMES):
            logger.info("writing the %s graph", name.upper())
            _write_graph(model, modality, about["images"], folder / f"{name}.onnx")
        backbone = about["model"]["name"]
        if isinstance(model, DualResNet) and standalone.knows(backbone):
            (folder / WEIGHTS).write_bytes(save(model.state_dict()))
        else:
            logger.warning("%s is omitted: the loader can build only torchvision's ResNets, not %s", WEIGHTS, backbone)
        description = {name: about[name] for name in ("model", "images", "versions")}
        description["model"] = about["model"] | {"feature": "bn", "feature_dim": model.feature_dim}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        (folder / LOADER).write_text(loader_source(), encoding="utf-8")
        logger.info("comparing the features with PyTorch's")
        differences = _compare(model, folder, about["images"], files, real)
    return differences


def find_images(paths: Sequence[str | Path]) -> list[str]:
    """Lists the files among `paths`, and the first few images below each folder among them.

    Raises:
        FileNotFoundError: a path is missing, or a folder contains no image.
    """
    found = []
    for path in (Path(path).expanduser() for path in paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: give image files or folders of images")
        files = image_reader.find_images(path)[:NUM_FILES] if path.is_dir() else [str(path)]
        if not files:
            raise FileNotFoundError(
                f"{path} contains no image ({', '.join(IMAGE_SUFFIXES)}): choose a different folder"
            )
        found += files
    return found


def loader_source() -> str:
    """Returns the standalone loader as one file: the source of the image reader replaces its import."""
    reader = Path(image_reader.__file__).read_text(encoding="utf-8")
    # Reading needs nothing from the package; the reader only passes on names of its neighbor.
    reader = re.sub(r"^(from torchreid_rgbir.*|__all__ = \[[^]]*\])\n", "", reader, flags=re.M)
    source = Path(standalone.__file__).read_text(encoding="utf-8")
    return re.sub(rf"^from {image_reader.__name__} import .*\n", lambda _: reader, source, flags=re.M)


def _training_images(about: dict) -> list[str]:
    root = yaml.safe_load(about["config"])["data"].get("root")
    if not root:  # a model in the hub's layout does not say where its author's data is
        return []
    root = Path(root).expanduser()
    some = image_reader.find_images(root)[: 4 * NUM_FILES]
    broken = find_broken_images(some)  # a run with data.skip_broken skipped them too
    return [path for path in some if path not in broken][:NUM_FILES]


def _prepared(files: Sequence[str], about: dict) -> torch.Tensor:
    images = about["images"]
    decode = Decode(images["height"], images["width"])
    ir_range = images.get("ir_range", "dtype")  # the rule of earlier versions
    batch = torch.stack([decode(read_image(path, ir_range)) for path in files])  # (B, 3, H, W)
    return BatchTransforms([], images["norm_mean"], images["norm_std"]).normalize(batch).contiguous()


def _write_graph(model: TwoStreamNetwork, modality: int, images: dict, path: Path) -> None:
    # The exporter treats a batch size of 1 as a constant.
    example = torch.zeros(2, 3, images["height"], images["width"])
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
    model: TwoStreamNetwork, folder: Path, images: dict, files: Sequence[str], real: torch.Tensor | None
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
                difference = float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))
                if not difference <= TOLERANCE:
                    raise ValueError(
                        f"the {name} features of {runtime} differ from PyTorch's by {difference:.1e} on {kind} images "
                        f"(at most {TOLERANCE:g} is allowed): nothing was written; report this with the versions in use"
                    )
                differences[kind] = max(differences[kind], difference)
    return differences
