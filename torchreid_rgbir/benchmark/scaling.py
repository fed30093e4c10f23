"""How cost grows: a training step with the size of its images and of its batch, the evaluation with its gallery."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch

from torchreid_rgbir.benchmark.step import OurStep, random_batch, waiting
from torchreid_rgbir.benchmark.timing import figures, interleave
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import standard

SIZES = ((144, 72), (288, 144), (384, 192))
BATCHES = (16, 32)
GALLERIES = (5_000, 20_000, 40_000)
NUM_QUERIES, DIM = 1_000, 2048


def scaling(rounds: int = 3, model: str = "dual_resnet50", threads: int = 2) -> dict[str, dict]:
    """Times the step of all four losses at several image and batch sizes, and 1,000 queries against several galleries.

    Returns:
        See `figures`. The candidates are "step_HEIGHTxWIDTH_BATCH" and "gallery_SIZE", each over the smallest of its kind.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    criterion = MSOLoss(pef_weights="random").to(device)
    candidates: dict[str, Callable[[], object]] = {}
    for (height, width), batch_size in product(SIZES, BATCHES):
        step = OurStep(model, random_batch(batch_size, height, width, device))
        candidates[f"step_{height}x{width}_{batch_size}"] = waiting(partial(step, criterion))
    for size in GALLERIES:
        candidates[f"gallery_{size}"] = partial(standard.report, _random_features(size))
    smallest = {"step": next(iter(candidates)), "gallery": f"gallery_{GALLERIES[0]}"}
    pairs = {f"growth_{name}": (name, smallest[name.split("_")[0]]) for name in candidates}
    return figures(interleave(candidates, rounds, threads=threads), pairs)


def _random_features(size: int) -> TestFeatures:
    rng = np.random.default_rng(0)
    modalities = np.repeat([IR, RGB], [NUM_QUERIES, size])
    pids = rng.integers(0, 500, len(modalities))
    features = rng.standard_normal((len(modalities), DIM), np.float32)
    return TestFeatures(features, pids, modalities + 1, modalities)
