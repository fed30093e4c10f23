"""Speed of an exported model and of PyTorch, for one image at a time on the CPU."""

from pathlib import Path
from statistics import median

import torch

from torchreid_rgbir.benchmark.timing import interleave, medians, pair_ratios, spread
from torchreid_rgbir.export import standalone
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.models.loading import load_model


def onnx_over_eager(weights: str | Path, folder: str | Path, rounds: int = 20) -> dict[str, dict]:
    """Times both on the same random image, in turn.

    Each has one thread, because waiting threads of ONNX Runtime slow PyTorch down.

    Args:
        weights: The checkpoint.
        folder: The folder that `export` wrote from it.
        rounds: How often each side is timed.

    Returns:
        'ratios': onnx_over_eager, the time of ONNX Runtime over that of PyTorch for a batch of one, of both streams;
        the median over the rounds. 'medians': seconds of each side. 'spread': smallest and largest ratio.
    """
    model, about = load_model(weights)
    exported = standalone.load_onnx(folder, threads=1)
    image = torch.randn(1, 3, about["images"]["height"], about["images"]["width"])
    array = image.numpy()

    def eager() -> None:
        for modality in range(len(NAMES)):
            model.stream(modality)(image)

    def onnx() -> None:
        for name in NAMES:
            exported.streams[name](array)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            seconds = interleave({"onnx": onnx, "eager": eager}, rounds, warmup=2)
    finally:
        torch.set_num_threads(before)
    ratios = pair_ratios(seconds, "onnx", "eager")
    return {
        "ratios": {"onnx_over_eager": median(ratios)},
        "medians": medians(seconds),
        "spread": {"onnx_over_eager": spread(ratios)},
    }
