"""The data sets and the trained starting points of the ablation. Each one is made when it is missing."""

import logging
from collections.abc import Callable
from pathlib import Path

from torchreid_rgbir import config
from torchreid_rgbir.files import atomic
from torchreid_rgbir.runs.methods import STARTS
from torchreid_rgbir.runs.quickstart import DATASET, IMAGES_PER_CAMERA, NUM_IDS
from torchreid_rgbir.runs.resume_or_skip import resume_or_skip
from torchreid_rgbir.synthetic.benchmark import find_benchmark
from torchreid_rgbir.synthetic.write import is_written, synthesize

logger = logging.getLogger(__name__)

NUM_OTHERS, SEED_OF_OTHERS = 500, 100  # the people that the starting points learn: 400 of them are for training
NUM_FEWER = 200  # training identities


def people(root: Path) -> Path:
    """Writes the quick start's people.  Returns the value of `data.root`."""
    return _synthesized(root / "people/SYSU-MM01", NUM_IDS, seed=0)


def others(root: Path) -> Path:
    """Writes people who appear in no other data set here, in the same form."""
    return _synthesized(root / "others/SYSU-MM01", NUM_OTHERS, seed=SEED_OF_OTHERS)


def hard_others(root: Path) -> Path:
    """Writes the same people in the benchmark's conditions. They are not the benchmark's people, whose seed differs."""
    return _synthesized(root / "hard_others/SYSU-MM01", NUM_OTHERS, SEED_OF_OTHERS, preset="hard")


def hard(root: Path) -> Path:
    """Writes the benchmark `rgbir_synthetic`."""
    return find_benchmark(str(root))


def hard_200(root: Path) -> Path:
    """Makes a data set with the benchmark's images and test people, but only the first 200 of its training people."""
    whole, fewer = hard(root), root / "hard_200/SYSU-MM01"
    if not (fewer / "exp").exists():
        with atomic.filling(fewer, last="exp") as folder:
            for part in whole.iterdir():
                if part.name != "exp":
                    (folder / part.name).symlink_to(part)
            (folder / "exp").mkdir()
            for part in (whole / "exp").iterdir():
                (folder / "exp" / part.name).write_bytes(part.read_bytes())
            train, val = ((folder / f"exp/{name}_id.txt").read_text().split(",") for name in ("train", "val"))
            (folder / "exp/train_id.txt").write_text(",".join(train[: NUM_FEWER - len(val)]) + "\n")
    return fewer


def _synthesized(folder: Path, num_ids: int, seed: int, preset: str = "standard") -> Path:
    if not is_written(DATASET, folder, num_ids, IMAGES_PER_CAMERA, seed, preset=preset):
        synthesize(DATASET, folder, num_ids, IMAGES_PER_CAMERA, seed, preset=preset)
    return folder


# name -> (the data set's name for `data.sources`, the function that makes it)
DATA: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "people": (DATASET, people),
    "others": (DATASET, others),
    "hard_others": (DATASET, hard_others),
    "hard": ("rgbir_synthetic", hard),
    "hard_200": (DATASET, hard_200),
}


def starting_point(name: str, out: Path) -> Path:
    """Trains a network of `methods.STARTS`, and first the one that it continues from, unless it was trained before.

    Args:
        out: the folder of the ablation.

    Returns:
        The checkpoint.
    """
    start = STARTS[name]
    words = [str(starting_point(word, out)) if word in STARTS else word for word in start.words.split()]
    cfg = config.override(config.load("start"), words)
    cfg.model.name, cfg.data.root = start.model, str(DATA[start.data][1](out / "data"))
    folder = out / "starts" / name
    path = folder / f"model/model.pth.tar-{cfg.train.max_epoch}"
    if not path.is_file():
        logger.info("training the starting point %s", name)
        resume_or_skip(cfg, folder)
    return path
