"""Stability of a long run: compares the last of 500 training steps with the first, in time and in memory."""

import contextlib
import io
import tempfile
import time
from pathlib import Path
from statistics import median

from torchreid_rgbir import config
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.synthetic.write import synthesize

WARMUP = 20  # steps that are not counted, while buffers are allocated and caches are filled


def stability(num_steps: int = 500) -> dict[str, dict]:
    """Trains the quick start's model on cached images, and compares the first and the last fifth of the steps.

    Args:
        num_steps: counted steps, at least 10.

    Returns:
        'ratios': step_last_over_first, the ratio of the medians. 'medians': seconds per step of both. 'spread': the
        quartiles of the last steps over the median of the first. 'memory': bytes that the process held after the first
        fifth and at the end.
    """
    with tempfile.TemporaryDirectory() as folder:
        synthesize("sysu_mm01", Path(folder) / "SYSU-MM01", 20, images_per_camera=2, size=(32, 64), workers=1)
        words = (
            "data.height 64 data.width 32 data.cache disk train.batch_size 16 sampler.num_instances 2 "
            f"sampler.batches_per_epoch {WARMUP + num_steps}"
        ).split()
        with contextlib.redirect_stdout(io.StringIO()):
            engine = build_engine(config.override(config.load("quickstart"), ["data.root", folder, *words]))
        engine.set_model_mode("train")
        seconds, held = [], []
        for batch, data in enumerate(engine.train_loader):
            start, engine.batch_idx = time.perf_counter(), batch
            engine.forward_backward(data)
            seconds.append(time.perf_counter() - start)
            held.append(_resident())
    fifth = num_steps // 5
    first, last = seconds[WARMUP : WARMUP + fifth], seconds[-fifth:]
    start, quartiles = median(first), (sorted(last)[fifth // 4], sorted(last)[-1 - fifth // 4])
    return {
        "ratios": {"step_last_over_first": median(last) / start},
        "medians": {"step_first": start, "step_last": median(last)},
        "spread": {"step_last_over_first": tuple(quartile / start for quartile in quartiles)},
        "memory": {"steps_first": held[WARMUP + fifth], "steps_last": held[-1]},
    }


def _resident() -> int:
    """Returns the memory of this process in bytes (0 on systems other than Linux)."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0
