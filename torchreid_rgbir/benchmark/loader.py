"""Images per second from files to a normalized batch, with torchreid's data manager and ours."""

import contextlib
import io
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_rgbir import host
from torchreid_rgbir.benchmark.timing import figures, interleave
from torchreid_rgbir.data import CrossModalDataManager
from torchreid_rgbir.synthetic.write import synthesize

FILE_SIZE = (192, 384)  # width and height of the JPEG files


def loader(
    height: int = 288,
    width: int = 144,
    batch_size: int = 64,
    rounds: int = 3,
    workers: int = 2,
    num_ids: int = 40,
    threads: int = 2,
) -> dict[str, dict]:
    """Times epochs over synthetic images in SYSU-MM01's layout. All sides take turns in every round.

    Both sides crop and flip. torchreid and "disk_random_crop" enlarge and crop, the others pad and crop as in the
    patent's setting. After the warm-up, files and cache are in the system's page cache, so the disk is not measured.

    Args:
        batch_size: a multiple of 8.
        workers: decoding processes. Reading a cache needs none.
        num_ids: rendered identities with 42 images each. Four fifths of them are for training.
        threads: torch's threads in the main process. They work if no process decodes, so both sides have two cores.

    Returns:
        See `figures`. The ratios are images/s over images/s: loader_disk_over_torchreid, and the same for ram, none and
        disk_random_crop. 'images_per_second': of each side. 'limits': for the caches, the time to copy the bytes of an epoch's
        images in memory.
    """
    with tempfile.TemporaryDirectory() as folder:
        synthesize("sysu_mm01", Path(folder) / "SYSU-MM01", num_ids, images_per_camera=7, size=FILE_SIZE, workers=1)
        size = {"height": height, "width": width, "batch_size_train": batch_size}
        shared = {"root": folder, "workers": workers, "use_gpu": False, **size}
        with contextlib.redirect_stdout(io.StringIO()):  # torchreid's data managers print a summary
            theirs = host.data.ImageDataManager(
                sources="sysu_mm01", transforms=["random_crop", "random_flip"], **shared
            ).train_loader
            shared["batches_per_epoch"] = len(theirs)
            sides = {
                "loader_torchreid": lambda: deque(theirs, maxlen=0),
                "loader_none": _ours("none", "pad_crop", shared),
                "loader_disk": _ours("disk", "pad_crop", shared),
                "loader_ram": _ours("ram", "pad_crop", shared),
                "loader_disk_random_crop": _ours("disk", "random_crop", shared),
            }
        source = np.ones((len(theirs), batch_size * height * width * 3), np.uint8)  # an epoch of decoded images
        target = np.empty_like(source)
        seconds = interleave(sides | {"copy": lambda: np.copyto(target, source)}, rounds, threads=threads)
    pairs = {f"{name}_over_torchreid": ("loader_torchreid", name) for name in sides if name != "loader_torchreid"}
    measured = figures(seconds, pairs)
    limit = measured["medians"].pop("copy"), "a copy of the decoded images in memory"
    measured["limits"] = {name: limit for name in ("loader_disk", "loader_ram")}
    num_images = len(theirs) * batch_size
    return measured | {"images_per_second": {name: num_images / value for name, value in measured["medians"].items()}}


def _ours(cache: str, crop: str, shared: dict[str, Any]) -> Callable[[], None]:
    manager = CrossModalDataManager(transforms=[crop, "random_flip"], cache=cache, **shared)

    def epoch() -> None:
        for number, data in enumerate(manager.train_loader):
            images = manager.transforms.augment(data["img"], len(data["img"]) // 2, 0, number)
            manager.transforms.normalize(images)

    return epoch
