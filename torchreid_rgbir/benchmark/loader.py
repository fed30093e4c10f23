"""Images per second from files to a normalized batch, with torchreid's data manager and ours."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from torchreid_rgbir import host
from torchreid_rgbir.benchmark.timing import interleave, medians, pair_ratios, spread
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
        height: The height of the images in a batch.
        width: The width of the images in a batch.
        batch_size: A multiple of 8.
        rounds: The number of timed epochs of each side.
        workers: The number of decoding processes. Reading a cache needs none.
        num_ids: The number of rendered identities with 42 images each. Four fifths of them are for training.
        threads: The number of torch's threads in the main process. They work if no process decodes, so both sides have
            two cores.

    Returns:
        'ratios': loader_disk_over_torchreid, and the same for ram, none and disk_random_crop: images/s over images/s,
        medians over the rounds. 'medians': seconds per epoch. 'spread': smallest and largest of each ratio.
        'images_per_second'.
    """
    before = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        synthesize("sysu_mm01", Path(folder) / "SYSU-MM01", num_ids, images_per_camera=7, size=FILE_SIZE, workers=1)
        with contextlib.redirect_stdout(io.StringIO()):  # torchreid's data managers print a summary
            sides, num_images = _sides(folder, height, width, batch_size, workers)
        torch.set_num_threads(threads)
        try:
            seconds = interleave(sides, rounds)
        finally:
            torch.set_num_threads(before)
    ratios = {
        f"{name}_over_torchreid": pair_ratios(seconds, "loader_torchreid", name)
        for name in seconds
        if name != "loader_torchreid"
    }
    return {
        "ratios": {name: median(values) for name, values in ratios.items()},
        "medians": medians(seconds),
        "spread": {name: spread(values) for name, values in ratios.items()},
        "images_per_second": {name: num_images / value for name, value in medians(seconds).items()},
    }


def _sides(
    folder: str, height: int, width: int, batch_size: int, workers: int
) -> tuple[dict[str, Callable[[], None]], int]:
    theirs = host.data.ImageDataManager(
        root=folder,
        sources="sysu_mm01",
        height=height,
        width=width,
        transforms=["random_crop", "random_flip"],
        batch_size_train=batch_size,
        workers=workers,
        use_gpu=False,
    )
    num_batches = len(theirs.train_loader)

    def ours(cache: str, crop: str = "pad_crop") -> Callable[[], None]:
        manager = CrossModalDataManager(
            folder,
            height=height,
            width=width,
            transforms=[crop, "random_flip"],
            use_gpu=False,
            batch_size_train=batch_size,
            workers=workers,
            batches_per_epoch=num_batches,
            cache=cache,
        )

        def prepare(images: Tensor, batch: int) -> None:
            manager.transforms.normalize(manager.transforms.augment(images, batch_size // 2, 0, batch))

        def epoch() -> None:
            for batch, data in enumerate(manager.train_loader):
                prepare(data["img"], batch)

        return epoch

    sides = {
        "loader_torchreid": lambda: _pass_through(theirs.train_loader),
        "loader_none": ours("none"),
        "loader_disk": ours("disk"),
        "loader_ram": ours("ram"),
        "loader_disk_random_crop": ours("disk", "random_crop"),
    }
    return sides, num_batches * batch_size


def _pass_through(batches: DataLoader) -> None:
    for _ in batches:
        pass
