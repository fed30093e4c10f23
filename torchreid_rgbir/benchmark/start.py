"""The start of a training, from the command to the first batch, in parts: imports, listing, check, model, first batch."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from torchreid_rgbir import config
from torchreid_rgbir.benchmark.timing import Seconds, figures
from torchreid_rgbir.runs.build import build_criterion, build_datamanager, build_model
from torchreid_rgbir.synthetic.layouts import plan_sysu_mm01
from torchreid_rgbir.terminal import progress

NUM_TRAIN = 34_167  # SYSU-MM01's training images
NUM_IDS, PER_CAMERA = 491, 15  # identities in training and test, images of an identity in each of the six cameras
WORDS = ["model.pretrained", "False", "loss.pef.weights", "random", "data.workers", "2"]  # without downloads


def start(rounds: int = 3, num_ids: int = NUM_IDS, num_train: int = NUM_TRAIN, overrides: tuple[str, ...] = ()) -> dict:
    """Starts `mso_sysu` in a separate process, on tiny images in SYSU-MM01's layout, up to the first batch.

    The images of a folder are hard links to one file. Their names are in the system's cache. Decoding them takes less
    time than decoding official images.

    Args:
        rounds: the number of started processes.
        num_ids: identities in training and test together.
        num_train: training images, at most 15 for each training identity and camera, and at least 14.
        overrides: more `KEY VALUE` words for the configuration.

    Returns:
        See `figures`. 'medians': seconds of each part, of their sum "start_total", and of "start_plain_listing", which
        only collects the paths of all files in the same process. The ratio "start_over_plain_listing" divides the time
        of listing and check, which depend on the number of files, by it.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_sysu_mm01(Path(folder) / "SYSU-MM01", num_ids, num_train)
        runs = [_run([folder, *overrides]) for _ in progress(range(rounds), "starting", unit="process")]
    seconds: Seconds = {f"start_{name}": [run[name] for run in runs] for name in runs[0]}
    files = {"files": [run["listing"] + run["check"] for run in runs]}
    measured = figures(seconds | files, {"start_over_plain_listing": ("files", "start_plain_listing")})
    del measured["medians"]["files"]  # a sum of parts
    return measured


def write_tiny_sysu_mm01(folder: Path, num_ids: int, num_train: int) -> None:
    """Writes SYSU-MM01's layout with one file of 8 x 16 pixels in every image folder, under the names of all its images."""
    plan = plan_sysu_mm01(num_ids, PER_CAMERA, seed=0)
    surplus = 6 * PER_CAMERA * plan.num_train_ids - num_train
    for name, data in plan.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for image in plan.images:
        if surplus and image.pid <= plan.num_train_ids and image.number == PER_CAMERA:
            surplus -= 1
            continue
        path = folder / image.path
        if image.number == 1:
            path.parent.mkdir(parents=True)
            Image.new("RGB", (8, 16)).save(path)
        else:
            os.link(path.with_name("0001.jpg"), path)


def _run(words: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "torchreid_rgbir.benchmark.start", repr(time.time()), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"a process that was started to be timed failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    return json.loads(done.stdout)


def _parts(started: float, root: str, overrides: list[str]) -> dict[str, float]:
    """The seconds of the parts in this process, which was started at the time `started`."""
    seconds = {"imports": time.time() - started}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = run()
        seconds[name] = time.perf_counter() - begin
        return result

    cfg = config.override(config.load("mso_sysu"), ["data.root", root, *WORDS, *overrides])
    data = timed("listing", lambda: build_datamanager(cfg))
    tests: Any = data.test_loader["sysu_mm01"]["query"].dataset
    timed("check", lambda: tests.protocol.check(tests.test_labels(), query=cfg.test.query, sampling=cfg.test.sampling))
    timed("model", lambda: build_criterion(cfg, build_model(cfg, data.num_train_pids)))  # type: ignore[arg-type]
    timed("first_batch", lambda: next(iter(data.train_loader)))
    seconds["total"] = sum(seconds.values())
    timed("plain_listing", lambda: [os.path.join(at, name) for at, _, names in os.walk(root) for name in sorted(names)])
    return seconds


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):  # the data manager prints a summary
        measured = _parts(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
    print(json.dumps(measured))
