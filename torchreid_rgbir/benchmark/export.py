"""Speed of an exported model and of PyTorch, for one image at a time on the CPU."""

from pathlib import Path

import torch

from torchreid_rgbir.benchmark.timing import figures, interleave
from torchreid_rgbir.export import standalone
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models.loading import load_model


def onnx_over_eager(weights: str | Path, folder: str | Path, rounds: int = 20) -> dict[str, dict]:
    """Times ONNX Runtime and PyTorch on one random image, which passes both streams.

    Each has one thread, because waiting threads of ONNX Runtime slow PyTorch down.

    Args:
        weights: a checkpoint.
        folder: what `export` wrote from it.

    Returns:
        `figures` of 'onnx' and 'eager', with the ratio 'onnx_over_eager'.
    """
    model, about = load_model(weights)
    exported = standalone.load_onnx(folder, threads=1)
    image = torch.randn(1, 3, about["images"]["height"], about["images"]["width"])
    array = image.numpy()
    sides = {
        "onnx": lambda: [exported.streams[name](array) for name in NAMES],
        "eager": lambda: [model.stream(modality)(image) for modality in range(len(NAMES))],
    }
    with torch.inference_mode():
        seconds = interleave(sides, rounds, warmup=2, threads=1)
    return figures(seconds, {"onnx_over_eager": ("onnx", "eager")})
