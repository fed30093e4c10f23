"""How cost grows: a training step with the size of its images and of its batch, the evaluation with its gallery."""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch

from torchreid_rgbir.benchmark.step import PER_ID, OurStep
from torchreid_rgbir.benchmark.timing import interleave, medians, pair_ratios, spread
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models import Batch
from torchreid_rgbir.protocols import standard

SIZES = ((144, 72), (288, 144), (384, 192))
BATCHES = (16, 32)
GALLERIES = (5_000, 20_000, 40_000)
NUM_QUERIES, DIM = 1_000, 2048


def scaling(rounds: int = 3, model: str = "dual_resnet50", threads: int = 2) -> dict[str, dict]:
    """Times the step of all four losses at several image and batch sizes, and 1,000 queries against several galleries.

    Args:
        rounds: timed rounds, interleaved.
        model: a name in `MODELS`.
        threads: torch's threads during the measurement.

    Returns:
        'ratios': each candidate over the smallest of its kind. 'medians': seconds, "step_HEIGHTxWIDTH_BATCH" and "gallery_SIZE". 'spread': smallest
        and largest of each ratio.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    criterion = MSOLoss(pef_weights="random").to(device)
    candidates: dict[str, Callable[[], object]] = {}
    for (height, width), batch_size in product(SIZES, BATCHES):
        num_ids = batch_size // (2 * PER_ID)
        pids = torch.arange(num_ids, device=device).repeat_interleave(PER_ID).repeat(2)
        batch = Batch(torch.rand(batch_size, 3, height, width, device=device), pids, batch_size // 2, num_ids)
        step = OurStep(model, batch)
        candidates[f"step_{height}x{width}_{batch_size}"] = _step(step, criterion)
    for size in GALLERIES:
        candidates[f"gallery_{size}"] = _evaluation(size)
    try:
        seconds = interleave(candidates, rounds)
    finally:
        torch.set_num_threads(before)
    smallest = {"step": next(iter(candidates)), "gallery": f"gallery_{GALLERIES[0]}"}
    ratios = {f"growth_{name}": pair_ratios(seconds, name, smallest[name.split("_")[0]]) for name in seconds}
    return {
        "ratios": {name: float(np.median(values)) for name, values in ratios.items()},
        "medians": medians(seconds),
        "spread": {name: spread(values) for name, values in ratios.items()},
    }


def _step(step: OurStep, criterion: MSOLoss) -> Callable[[], object]:
    def run() -> None:
        step(criterion)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def _evaluation(size: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    modalities = np.repeat([IR, RGB], [NUM_QUERIES, size])
    pids = rng.integers(0, 500, len(modalities))
    features = rng.standard_normal((len(modalities), DIM), np.float32)
    data = TestFeatures(features, pids, modalities + 1, modalities)
    return lambda: standard.report(data)
