"""Exports a model in a chosen precision, and compares accuracy, size and latency with PyTorch's."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from torchreid_rgbir.benchmark.timing import interleave
from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.export import export, standalone
from torchreid_rgbir.export.folder import DESCRIPTION, WEIGHTS
from torchreid_rgbir.export.precision import convert
from torchreid_rgbir.files import atomic
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.options import configuration

NUM_CALIBRATION = 128  # images of each modality
BATCHES = (1, 16)  # images in a forward pass whose latency is measured
ROUNDS = 20
MIN_COSINE = 0.998  # between the features of fp16 and of fp32


class Row(NamedTuple):
    """A runtime with its results.

    Attributes:
        rank1, mAP: of the first setting of the protocol, as fractions.
        size: bytes of the weights of both streams.
        seconds: of a forward pass of one stream on one CPU thread, for each size in `BATCHES`.
        cosine: smallest cosine between a feature of the test set and PyTorch's.
    """

    name: str
    rank1: float
    mAP: float
    size: int
    seconds: tuple[float, ...]
    cosine: float


def export_scored(
    weights: str | Path, out: str | Path, precision: str, root: str = "", images: Sequence[str] = ()
) -> tuple[list[Row], dict[str, float]]:
    """Exports a model as `export` does, in a precision, and scores PyTorch, fp32 and this precision on the test set.

    int8 is calibrated on images of the training set. For fp16 and int8, model.safetensors is omitted, because it would be
    larger than both graphs.

    Args:
        weights: a checkpoint that `train` wrote.
        out: folder to write to.
        precision: "fp32", "fp16" or "int8".
        root: folder of the data. Empty takes that of the training.
        images: as for `export`.

    Returns:
        One row for PyTorch, fp32 and the precision, and what `export` returns of fp32.

    Raises:
        ValueError: the data is missing, the features of fp16 differ too much, or as for `export`.
        FileNotFoundError, NotADirectoryError: as for `export`.
    """
    model, about = load_model(weights)
    cfg = configuration(about, weights, root)
    if not cfg.data.root or not Path(cfg.data.root).expanduser().exists():
        reason = "int8 takes its calibration images from it, and " if precision == "int8" else ""
        raise ValueError(
            f"the data of the training is not in {cfg.data.root or 'a known folder'}: {reason}every precision is scored on "
            "its test set; give its folder with --root"
        )
    cfg.test.feature = "bn"  # the feature that is exported
    engine = build_engine(cfg)
    with tempfile.TemporaryDirectory() as temporary:
        exact, small = Path(temporary, "fp32"), Path(temporary, precision)
        differences = export(weights, exact, images or ([cfg.data.root] if root else []))
        if precision != "fp32":
            shutil.copytree(exact, small, ignore=shutil.ignore_patterns(WEIGHTS))
            for modality, name in enumerate(NAMES):
                batches = _calibration(engine, modality, about["images"]) if precision == "int8" else []
                convert(exact / f"{name}.onnx", small / f"{name}.onnx", precision, batches)
            description = json.loads((small / DESCRIPTION).read_text(encoding="utf-8")) | {"precision": precision}
            (small / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        folders = {"ONNX fp32": exact, f"ONNX {precision}": small}  # one, if the precision is fp32
        testing = {"dist_metric": cfg.test.dist_metric, "normalize_feature": cfg.test.normalize_feature}
        rows = _rows(engine, model, folders, testing)
        if precision == "fp16" and not rows[-1].cosine >= MIN_COSINE:
            raise ValueError(
                f"the features of fp16 have a cosine of only {rows[-1].cosine:.4f} with those of fp32 (at least "
                f"{MIN_COSINE} is required): nothing was written; use --precision fp32"
            )
        with atomic.filling(out, last=DESCRIPTION, stale=[WEIGHTS]) as folder:
            shutil.copytree(small, folder, dirs_exist_ok=True)
    return rows, differences


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text: % of Rank-1 and mAP, megabytes, and milliseconds per batch."""
    lines = [f"{'':10}  Rank-1    mAP      size" + "".join(f"  batch {size:<2}" for size in BATCHES) + "  min. cosine"]
    for row in rows:
        times = "".join(f"  {1000 * seconds:5.1f} ms" for seconds in row.seconds)
        scores = f"{100 * row.rank1:6.2f}  {100 * row.mAP:5.2f}  {row.size / 1e6:5.1f} MB"
        lines.append(f"{row.name:10}  {scores}{times}  {row.cosine:11.4f}")
    return "\n".join(lines)


def _rows(
    engine: CrossModalEngine, model: TwoStreamNetwork, folders: dict[str, Path], testing: dict[str, Any]
) -> list[Row]:
    exported = {name: standalone.load_onnx(folder, threads=1).streams["ir"] for name, folder in folders.items()}
    height, width = engine.datamanager.height, engine.datamanager.width
    medians: dict[str, list[float]] = {name: [] for name in ("PyTorch", *folders)}
    for size in BATCHES:
        batch = torch.randn(size, 3, height, width)
        array, stream = batch.numpy(), model.stream(NAMES.index("ir"))
        sides: dict[str, Callable[[], object]] = {"PyTorch": lambda: stream(batch)}  # noqa: B023
        sides |= {name: lambda run=run: run(array) for name, run in exported.items()}  # type: ignore[misc] # noqa: B023
        with torch.inference_mode():
            for name, seconds in interleave(sides, ROUNDS, warmup=2, threads=1).items():
                medians[name].append(median(seconds))
    sizes = {"PyTorch": sum(value.numel() * value.element_size() for value in model.state_dict().values())}
    sizes |= {name: sum(path.stat().st_size for path in folder.glob("*.onnx")) for name, folder in folders.items()}
    rows, expected = [], None
    for name in medians:
        rank1, mAP, features = _score(engine, folders.get(name), testing)
        expected = features if expected is None else expected
        cosine = F.cosine_similarity(features, expected).min().item()
        rows.append(Row(name, rank1, mAP, sizes[name], tuple(medians[name]), cosine))
    return rows


def _score(engine: CrossModalEngine, folder: Path | None, testing: dict[str, Any]) -> tuple[float, float, Tensor]:
    """Rank-1, mAP and the features of the first test set, with PyTorch or with the graphs in a folder."""
    if folder is not None:
        streams, flip = standalone.load_onnx(folder).streams, engine.eval_options.flip

        def extract_features(images: Tensor, modality: int) -> Tensor:
            views = [images, images.flip(3)] if flip else [images]
            return sum(torch.from_numpy(streams[NAMES[modality]](view.cpu().numpy())) for view in views)  # type: ignore

        engine.extract_features = extract_features  # type: ignore[assignment,method-assign]
    engine.test(**testing)
    dataset = next(iter(engine.features))
    mean = engine.results[dataset]["settings"][0]["mean"]
    return mean["rank1"], mean["mAP"], torch.from_numpy(engine.features[dataset].features)


def _calibration(engine: CrossModalEngine, modality: int, images: dict) -> list[np.ndarray]:
    """Prepared images of one modality, spread evenly over the training set, in batches of at most 16."""
    paths = [item.impath for item in engine.datamanager.train_loader.dataset.train if item.modality == modality]
    prepare = standalone.ExportedModel(images, {}).prepare
    chosen = [prepare(path) for path in paths[:: max(1, len(paths) // NUM_CALIBRATION)][:NUM_CALIBRATION]]
    return [np.stack(chosen[start : start + 16]) for start in range(0, len(chosen), 16)]
