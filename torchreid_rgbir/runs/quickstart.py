"""The quick start: renders a synthetic data set, trains on it, scores the result and draws ranked results."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from torchreid_rgbir import config, host
from torchreid_rgbir.config import checks
from torchreid_rgbir.protocols.ranked_lists import ranked_lists
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.resume_or_skip import check_same_run
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import is_written, synthesize
from torchreid_rgbir.visual import draw_ranked, save_picture

DATASET = "sysu_mm01"
NUM_IDS, IMAGES_PER_CAMERA = 375, 3  # the last fifth, 75 identities, is for testing


def quickstart(out: str | Path, seed: int = 1) -> str:
    """Runs everything in `out`: data/ (kept for the next time), run/ (log, checkpoint, results.json) and ranked.png.

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
    cfg = config.load("quickstart")
    cfg.data.root, cfg.data.save_dir, cfg.train.seed = str(data), str(run), seed
    checks.check(cfg)
    check_same_run(cfg, run)
    if not is_written(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA):
        print(f"rendering RGB-IR images of {NUM_IDS} synthetic people in {data}")
        synthesize(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA)

    print("scoring the untrained network")
    host.utils.set_random_seed(seed)
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
    engine = train(cfg)
    features, trained = engine.features[DATASET], engine.results[DATASET]["settings"]
    lists = ranked_lists(features, cfg.test.query, dataset.protocol.ignored, cfg.test.dist_metric)
    save_picture(
        draw_ranked(lists, f"quick start: {cfg.test.query} queries, people that are not in the training set"), image
    )

    rows = {"chance (random features)": chance, "untrained network": untrained, "trained network": trained}
    lines = [f"{'IR -> RGB, all-search, single-shot':<36}{'Rank-1':>8}{'mAP':>8}"]
    for name, (first, *_) in rows.items():
        lines.append(f"{name:<36}{first['mean']['rank1']:>8.3f}{first['mean']['mAP']:>8.3f}")
    lines.append(
        f"{len(np.unique(features.pids))} identities that are not in the training set; "
        f"{time.time() - start:.0f} s in total"
    )
    lines.append(f"all settings: {run / 'results.json'}   ranked results: {image}")
    return "\n" + "\n".join(lines)
