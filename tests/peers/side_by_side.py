"""Trains AGW's unmodified script and our recipe on the same synthetic images, from the same trained weights.

    PEERS=PEERS python -m tests.peers.side_by_side

`peer_code.py` describes the folder PEERS. Both models of each seed are scored by our code with the ten galleries of AGW's code.
Afterwards, both training steps are timed in turns.

Minutes of training on small images give weak first weights. Two settings of both sides are therefore smaller than AGW's: the
learning rate, and the padding of the random crop, which is about the same part of the image's width as AGW's. AGW's own values
made the identity loss rise in trials.
"""

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.stats
import torch
import torch.utils.model_zoo
import torchvision

from tests.peers.peer_code import AGW, checkout, imported
from torchreid_rgbir import config
from torchreid_rgbir.data import CrossModalDataManager, augmentations
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.runs import peer_checkpoints
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import synthesize

HEIGHT, WIDTH = 64, 32
PADDING = 2  # pixels on each side; AGW: 10, for a width of 144 pixels
NUM_IDS, NUM_TEST_IDS, IMAGES_PER_CAMERA = 225, 24, 1  # their code needs more than 20 identities to test
P, K = 16, 2
LR = 0.03  # AGW: 0.1
NUM_EPOCHS, SEEDS = 3, (1, 2, 3)
SMALL = [
    *("data.height", str(HEIGHT), "data.width", str(WIDTH), "data.workers", "0", "data.cache", "ram"),
    *("model.pretrained", "False", "test.eval_freq", "-1", "train.print_freq", "10", "train.checkpoint_freq", "1000"),
]

# The training of the first weights. AGW's own loss learns nothing from random ones, and can be infinite.
START = [
    *("loss.wrt.form", "formula", "loss.wrt.features", "unit", "loss.mso.weight_cmcc", "1.0"),
    *("train.optim", "adam", "train.lr", "0.001", "train.staged_lr", "False"),
    *("train.lr_scheduler", "warmup_cosine", "train.warmup_epoch", "1", "train.max_epoch", "10"),
    *("train.target_loss", "6.3", "data.transforms", "[random_flip,channel_augment]"),  # ends after half of the epochs
    *("sampler.batches_per_epoch", "45", "train.batch_size", "32", "sampler.num_instances", "4"),
]
SAME = [  # as the arguments of their script in `run_theirs`
    *("train.batch_size", str(2 * P * K), "sampler.num_instances", str(K)),
    *("train.lr", str(LR), "train.max_epoch", str(NUM_EPOCHS)),
]


def run(folder: Path, save_dir: str, *words: str) -> tuple[float, Path]:
    """Trains or tests the recipe.  Returns the mean mAP of ten galleries, and the last checkpoint."""
    words = (*SMALL, "data.root", str(folder), "data.save_dir", str(folder / save_dir), *words)
    with open(folder / f"{save_dir}.txt", "w") as log, contextlib.redirect_stdout(log):
        engine = train(config.override(config.load("agw_sysu"), list(words)))
    [results] = engine.results.values()
    return results["settings"][0]["mean"]["mAP"], Path(engine.checkpoint_path or "")


def split_identities(folder: Path) -> None:
    """Changes how many of the identities are test identities."""
    for name, first, last in (
        ("train", 1, NUM_IDS - NUM_TEST_IDS - 1),
        ("val", NUM_IDS - NUM_TEST_IDS, NUM_IDS - NUM_TEST_IDS),
    ):
        (folder / f"exp/{name}_id.txt").write_text(",".join(map(str, range(first, last + 1))) + "\n")
    (folder / "exp/test_id.txt").write_text(",".join(map(str, range(NUM_IDS - NUM_TEST_IDS + 1, NUM_IDS + 1))) + "\n")


def write_their_images(folder: Path) -> None:
    """Writes the training images as arrays, as their pre_process_sysu.py does, with our labels and our size."""
    data = CrossModalDataManager(
        str(folder), height=HEIGHT, width=WIDTH, use_gpu=False, batch_size_train=16, num_instances=2, workers=0
    )
    dataset = data.train_loader.dataset
    for modality in (RGB, IR):
        samples = [dataset[i] for i, item in enumerate(dataset.train) if item.modality == modality]
        images = np.stack([sample["img"].permute(1, 2, 0).numpy() for sample in samples])
        np.save(folder / f"SYSU-MM01/train_{NAMES[modality]}_resized_img.npy", images)
        np.save(folder / f"SYSU-MM01/train_{NAMES[modality]}_resized_label.npy", [sample["pid"] for sample in samples])


def run_theirs(folder: Path, seed: int) -> Path:
    """Trains their script.  Returns the file of its last weights."""
    out = folder / f"theirs{seed}.t"
    script = Path(__file__).with_name("agw_script.py")
    words = [
        *("--img_h", HEIGHT, "--img_w", WIDTH, "--batch-size", P, "--num_pos", K, "--workers", 0),
        *("--lr", LR, "--resume", "start.t", "--seed", seed),
    ]
    command = [sys.executable, script, NUM_EPOCHS - 1, PADDING, out, *words]
    with open(folder / f"theirs{seed}.txt", "w") as log:
        subprocess.run(list(map(str, command)), cwd=folder.parent / "code", check=True, stdout=log)
    return out


def timed_steps(size: tuple[int, int] = (96, 48), rounds: int = 5) -> tuple[list[float], list[float]]:
    """Processor seconds of their steps and of ours, in turns: the same network, 64 images and single precision.

    Unlike the time on a clock, they depend little on what else the machine computes.
    """
    from tests.peers.peer_code import Ours
    from tests.peers.test_agw import NAMES as RENAME
    from tests.peers.test_agw import Theirs

    torch.utils.model_zoo.load_url = lambda url: torchvision.models.resnet50().state_dict()  # no download
    torch.manual_seed(0)
    theirs, ours = Theirs("agw"), Ours(config.load("agw_sysu"), 10)
    ours.load(theirs.model, RENAME)
    theirs.model.float(), ours.model.float().to(memory_format=torch.channels_last)
    for state in ours.optimizer.state.values():
        state["momentum_buffer"] = state["momentum_buffer"].float()
    images = torch.randn(64, 3, *size)
    pids = torch.arange(8).repeat_interleave(4).repeat(2)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for kept, step, inputs in (
            (seconds[0], theirs, images),
            (seconds[1], ours, images.contiguous(memory_format=torch.channels_last)),
        ):
            start = time.process_time()
            step(inputs, pids, 32)
            kept.append(time.process_time() - start)
    return seconds[0][1:], seconds[1][1:]


def prepare(folder: Path) -> Path:
    """Writes the images, a copy of their code and the first weights, in both formats.  Returns the checkpoint of the weights."""
    synthesize("sysu_mm01", folder / "SYSU-MM01", NUM_IDS, IMAGES_PER_CAMERA, size=(WIDTH, HEIGHT), workers=1)
    split_identities(folder / "SYSU-MM01")
    write_their_images(folder)
    (folder / "SYSU-MM01/ori_data").symlink_to(folder / "SYSU-MM01")
    code = folder.parent / "code"
    shutil.copytree(checkout(AGW), code, ignore=shutil.ignore_patterns(".git"))
    (code / "save_model").mkdir()
    mAP, start = run(folder, "start", *START)
    print(f"first weights: mAP {mAP:.4f}", flush=True)
    theirs = code / "save_model/start.t"
    peer_checkpoints.write(start, "agw", theirs)
    torch.save(torch.load(theirs, weights_only=True) | {"epoch": 0}, theirs)
    return start


def compare_training(folder: Path, start: Path) -> None:
    """Trains both from the first weights with each seed, and prints the paired difference."""
    differences = []
    for seed in SEEDS:
        theirs = folder / f"theirs{seed}.pth.tar"
        checkpoint.save(peer_checkpoints.read(run_theirs(folder, seed), "agw"), theirs)
        their_mAP, _ = run(folder, f"tested{seed}", "test.evaluate", "True", "model.load_weights", str(theirs))
        words = ["model.load_weights", str(start), "train.seed", str(seed)]
        our_mAP, _ = run(folder, f"ours{seed}", *SAME, *words)
        differences.append(our_mAP - their_mAP)
        print(f"seed {seed}: mAP of AGW's code {their_mAP:.4f}, of the recipe {our_mAP:.4f}", flush=True)
    mean = statistics.mean(differences)
    half = scipy.stats.t.ppf(0.975, len(SEEDS) - 1) * scipy.stats.sem(differences)
    print(f"paired difference {mean:+.4f}, 95 % interval {mean - half:+.4f} to {mean + half:+.4f}", flush=True)


def compare_speed() -> None:
    """Prints the processor seconds of a step of both, and the ratio of them in each round."""
    with imported(AGW):
        theirs, ours = timed_steps()
    medians = statistics.median(theirs), statistics.median(ours)
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    print(f"processor seconds of a step, medians: AGW's code {medians[0]:.3f}, the recipe {medians[1]:.3f}")
    print(f"ratio of a round: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


def main() -> None:
    augmentations.PADDING = PADDING
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "Datasets"
        compare_training(folder, prepare(folder))
    compare_speed()


if __name__ == "__main__":
    main()
