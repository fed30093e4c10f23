"""Trains AGW's unmodified script and our recipe on the same synthetic images, from the same trained weights.

    PEERS=PEERS python -m tests.peers.side_by_side

`peer_code.py` describes the folder PEERS. Both models of each seed are scored by our code with the ten galleries of AGW's code.
Afterwards, both training steps are timed in turns.
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
from torchreid_rgbir.data import CrossModalDataManager
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.runs import peer_checkpoints
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.write import synthesize

HEIGHT, WIDTH = 64, 32
NUM_IDS, NUM_TEST_IDS, IMAGES_PER_CAMERA = 60, 28, 1  # their code needs more than 20 identities to test
P, K = 4, 2
NUM_EPOCHS, SEEDS = 5, (1, 2, 3)
SMALL = [
    *("data.height", str(HEIGHT), "data.width", str(WIDTH), "data.workers", "0", "data.cache", "ram"),
    *("train.batch_size", str(2 * P * K), "sampler.num_instances", str(K), "model.pretrained", "False"),
    *("test.eval_freq", "-1", "train.print_freq", "1000"),
]

# The training of the first weights. AGW's own loss learns nothing from random ones, and can be infinite.
START = [
    *("loss.wrt.form", "formula", "loss.wrt.features", "unit", "train.optim", "adam", "train.lr", "0.001"),
    *("train.staged_lr", "False", "train.max_epoch", "15", "train.warmup_epoch", "2", "train.stepsize", "[12]"),
]


def run(folder: Path, save_dir: str, *words: str) -> tuple[float, Path]:
    """Trains or tests the recipe.  Returns the mean mAP of ten galleries, and the last checkpoint."""
    words = (*SMALL, "data.root", str(folder), "data.save_dir", str(folder / save_dir), *words)
    with open(folder / f"{save_dir}.txt", "w") as log, contextlib.redirect_stdout(log):
        engine = train(config.override(config.load("agw_sysu"), list(words)))
    [results] = engine.results.values()
    return results["settings"][0]["mean"]["mAP"], Path(engine.checkpoint_path or "")


def split_identities(folder: Path) -> None:
    """Makes more of the identities test identities than SYSU-MM01 has."""
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
        "--resume",
        "start.t",
    ]
    command = [sys.executable, script, NUM_EPOCHS - 1, out, *words, "--seed", seed]
    with open(folder / f"theirs{seed}.txt", "w") as log:
        subprocess.run(list(map(str, command)), cwd=folder.parent / "code", check=True, stdout=log)
    return out


def timed_steps(size: tuple[int, int] = (96, 48), rounds: int = 5) -> tuple[list[float], list[float]]:
    """Seconds of their steps and of ours, in turns: the same network, 64 images and single precision."""
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
            start = time.perf_counter()
            step(inputs, pids, 32)
            kept.append(time.perf_counter() - start)
    return seconds[0][1:], seconds[1][1:]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "Datasets"
        synthesize("sysu_mm01", folder / "SYSU-MM01", NUM_IDS, IMAGES_PER_CAMERA, size=(WIDTH, HEIGHT), workers=1)
        split_identities(folder / "SYSU-MM01")
        write_their_images(folder)
        (folder / "SYSU-MM01/ori_data").symlink_to(folder / "SYSU-MM01")
        shutil.copytree(checkout(AGW), folder.parent / "code", ignore=shutil.ignore_patterns(".git"))
        (folder.parent / "code/save_model").mkdir()
        mAP, start = run(folder, "start", *START)
        print(f"trained start: mAP {mAP:.4f}", flush=True)
        peer_checkpoints.write(start, "agw", folder.parent / "code/save_model/start.t")
        state = torch.load(folder.parent / "code/save_model/start.t", weights_only=True)
        torch.save(state | {"epoch": 0}, folder.parent / "code/save_model/start.t")
        differences = []
        for seed in SEEDS:
            theirs = peer_checkpoints.read(run_theirs(folder, seed), "agw")
            checkpoint.save(theirs, folder / f"theirs{seed}.pth.tar")
            tested = ["test.evaluate", "True", "model.load_weights", str(folder / f"theirs{seed}.pth.tar")]
            their_mAP, _ = run(folder, f"tested{seed}", *tested)
            words = ["model.load_weights", str(start), "train.max_epoch", str(NUM_EPOCHS), "train.seed", str(seed)]
            our_mAP, _ = run(folder, f"ours{seed}", *words)
            differences.append(our_mAP - their_mAP)
            print(f"seed {seed}: mAP of AGW's code {their_mAP:.4f}, of the recipe {our_mAP:.4f}", flush=True)
    mean = statistics.mean(differences)
    half = scipy.stats.t.ppf(0.975, len(SEEDS) - 1) * scipy.stats.sem(differences)
    print(f"paired difference {mean:+.4f}, 95 % interval {mean - half:+.4f} to {mean + half:+.4f}", flush=True)
    with imported(AGW):
        theirs, ours = map(statistics.median, timed_steps())
    print(f"seconds per step, medians: AGW's code {theirs:.3f}, the recipe {ours:.3f}, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
