"""The cost of the methods that docs/results.md compares on one benchmark: seconds of a training step, and memory."""

import contextlib
import io
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torchreid_rgbir.benchmark import timing
from torchreid_rgbir.benchmark.step import waiting
from torchreid_rgbir.runs import ablation
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.methods import QUESTIONS, STARTS
from torchreid_rgbir.synthetic.write import synthesize

QUESTION, REFERENCE = "benchmark", "id"
# Weights do not change the cost, so that no starting point has to be trained.
UNTRAINED = {name: "random" if name.startswith("vgg") else "False" for name in STARTS}


def recipes(rounds: int = 3) -> dict[str, dict]:
    """Times the training steps of the methods in turn, each with the images, network and batches of its run.

    Args:
        rounds: the number of timings of each method.

    Returns:
        'medians': seconds of a step of each method. 'ratios' and 'spread': each method over the identity loss alone.
        'memory': the largest number of bytes of a process that trains with a method: on the GPU, or in total without one.
    """
    methods = QUESTIONS[QUESTION].methods
    with tempfile.TemporaryDirectory() as folder:
        synthesize("sysu_mm01", Path(folder), 20, images_per_camera=2, workers=1)
        seconds = timing.interleave({method: _step(folder, method) for method in methods}, rounds)
        memory = {}
        for method in methods:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                memory[method] = pool.apply(_peak, (folder, method))
    pairs = {f"{method} over {REFERENCE}": (method, REFERENCE) for method in methods if method != REFERENCE}
    return timing.figures(seconds, pairs) | {"memory": memory}


def _step(root: str, method: str) -> Callable[[], object]:
    cfg = ablation.configured(QUESTIONS[QUESTION], method, 1, UNTRAINED)
    cfg.data.sources, cfg.data.root, cfg.data.cache = ["sysu_mm01"], root, "none"
    cfg.model.pretrained = False
    with contextlib.redirect_stdout(io.StringIO()):
        engine = build_engine(cfg)
    engine.set_model_mode("train")
    engine.epoch = engine.batch_idx = 0
    engine.num_batches = cfg.sampler.batches_per_epoch
    return waiting(partial(engine.forward_backward, next(iter(engine.train_loader))))


def _peak(root: str, method: str) -> int:
    step = _step(root, method)
    for _ in range(2):
        step()
    return timing.peak_of_training()
