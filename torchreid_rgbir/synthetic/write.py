"""Writes synthetic RGB-IR data sets as JPEG files in official layouts, so that everything runs without licensed data."""

import json
import multiprocessing
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from torchreid_rgbir.data.loading import deferred_signal
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.layouts import LAYOUTS
from torchreid_rgbir.synthetic.plan import ImageSpec, Plan
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.spectra import render_spectra
from torchreid_rgbir.terminal import progress

SUMMARY = "synthetic.json"
MIN_IDS, MAX_IDS = 5, 9999  # a fifth needs five identities; names of identities and images have four digits
_JPEG_QUALITY = 95
_CHUNK = 64  # images that a worker renders at a time
_IMAGES_PER_WORKER = 4000  # starting a worker, which imports the package, takes about as long as rendering these


def describe(
    layout: str,
    num_ids: int,
    images_per_camera: int,
    seed: int = 0,
    size: tuple[int, int] = (64, 128),
    preset: str = "standard",
) -> dict[str, Any]:
    """Describes what `synthesize` writes with these arguments: the arguments, the preset's version, and the counts.

    Raises:
        ValueError: an argument is out of its range.
    """
    arguments = _arguments(layout, num_ids, images_per_camera, seed, size, preset)
    return arguments | _counts(LAYOUTS[layout](num_ids, images_per_camera, seed))


def is_written(
    layout: str,
    out: str | os.PathLike[str],
    num_ids: int,
    images_per_camera: int,
    seed: int = 0,
    size: tuple[int, int] = (64, 128),
    preset: str = "standard",
) -> bool:
    """Whether `out` contains what `synthesize` writes with these arguments. (A data set is never written partly.)

    Raises:
        ValueError: an argument is out of its range.
    """
    arguments = _arguments(layout, num_ids, images_per_camera, seed, size, preset)
    try:
        found = json.loads((Path(out) / SUMMARY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    # Data sets without a preset were written when there was only one.
    return isinstance(found, dict) and arguments.items() <= ({"preset": "standard"} | found).items()


def synthesize(
    layout: str,
    out: str | os.PathLike[str],
    num_ids: int,
    images_per_camera: int,
    seed: int = 0,
    size: tuple[int, int] = (64, 128),
    workers: int | None = None,
    preset: str = "standard",
) -> dict[str, Any]:
    """Writes a synthetic data set. The same arguments give the same bytes, with any number of workers.

    Args:
        layout: a name in `LAYOUTS`.
        out: folder to create; it must be missing or empty. It appears when the complete data set is written.
        num_ids: number of identities. The last fifth is for testing (RegDB: a random half in each split).
        images_per_camera: number of images per identity and camera (LLCM: per camera and modality).
        seed: of identities, images and splits, >= 0.
        size: width and height of a person's images in pixels; those of a vehicle's images are swapped.
        workers: number of processes that render. None: the number of processors, fewer for a small data set.
        preset: `standard`, or `hard`: occluded, from all sides, in low light, noisy, blurred.

    Returns:
        The content of `out/synthetic.json`: the arguments, the preset's version, and the counts.

    Raises:
        ValueError: an argument is out of its range.
        OSError: `out` exists and is not empty, or cannot be written.
    """
    arguments = _arguments(layout, num_ids, images_per_camera, seed, size, preset)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}: give 1 or more processes")
    plan = LAYOUTS[layout](num_ids, images_per_camera, seed)
    if preset != "standard" and any(image.spectra for image in plan.images):
        raise ValueError(f"layout {layout} has the preset standard only: remove --preset")
    description = arguments | _counts(plan)
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(plan.images) // _IMAGES_PER_WORKER)
    plan.files[SUMMARY] = (json.dumps(description, indent=1) + "\n").encode()
    with new_folder(out) as part:
        _write(part, plan, partial(_render, part, preset, seed, size), workers)
    return description


@contextmanager
def new_folder(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a folder to write into, which becomes `out` at the end. After an error nothing is left.

    Raises:
        OSError: `out` exists and is not empty, or cannot be written.
    """
    target = Path(out).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder: choose a different one, or remove it first")
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise type(error)(f"cannot write {out} ({error.strerror}): choose a folder that you may write to") from error
    try:
        yield part
        os.replace(part, target)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(part, ignore_errors=True)
        raise


def _arguments(
    layout: str, num_ids: int, images_per_camera: int, seed: int, size: tuple[int, int], preset: str
) -> dict[str, Any]:
    # Checks the arguments and returns everything that the bytes depend on.
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    if not MIN_IDS <= num_ids <= MAX_IDS:
        raise ValueError(f"{num_ids} identities: give {MIN_IDS} to {MAX_IDS}, since a fifth of them is for testing")
    if not 1 <= images_per_camera <= MAX_IDS:
        raise ValueError(f"{images_per_camera} images per identity and camera: give 1 to {MAX_IDS}")
    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    if min(size) < 16:
        raise ValueError(f"size is {size[0]} x {size[1]}: give a width and a height of at least 16 pixels")
    return {
        "layout": layout,
        "preset": preset,
        "renderer": PRESETS[preset].version,
        "seed": seed,
        "num_ids": num_ids,
        "images_per_camera": images_per_camera,
        "size": list(size),
    }


def _counts(plan: Plan) -> dict[str, int]:
    modalities = [
        modality
        for image in plan.images
        for modality in ([RGB if name == "rgb" else IR for name in image.spectra] or [image.camera.modality])
    ]
    return {
        "num_train_ids": plan.num_train_ids,
        "num_test_ids": plan.num_test_ids,
        "num_rgb_images": modalities.count(RGB),
        "num_ir_images": modalities.count(IR),
    }


def _write(root: Path, plan: Plan, render: Callable[[list[ImageSpec]], int], workers: int) -> None:
    for folder in {(root / path).parent for path in [*plan.files, *(image.path for image in plan.images)]}:
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in plan.files.items():
        (root / path).write_bytes(content)
    chunks = [plan.images[i : i + _CHUNK] for i in range(0, len(plan.images), _CHUNK)]
    with progress(None, "rendering", len(plan.images), unit="image") as bar:
        if workers > 1:
            _render_in_processes(render, chunks, workers, bar.update)
        else:
            for chunk in chunks:
                bar.update(render(chunk))


def _render_in_processes(render: Callable, chunks: list, workers: int, advance: Callable[[int], object]) -> None:
    # Not a plain fork: the caller may have threads, such as torch's, that a forked child would wait for.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # so that the package is imported once and not by every worker
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_ignore_interrupts)
    try:
        # An interrupt between a worker's start and its entry in the pool would make Python wait for it forever.
        with deferred_signal(signal.SIGINT):
            futures = [pool.submit(render, chunk) for chunk in chunks]
        for future in as_completed(futures):
            advance(future.result())
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that renders images ended early (too little memory, or a script without "
            '`if __name__ == "__main__":`): give workers=1 to render in this process'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the terminal; only the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _render(root: Path, preset: str, seed: int, size: tuple[int, int], images: list[ImageSpec]) -> int:
    for image in images:
        options = seed, image.pid, image.camera, image.number, size
        pixels = render_spectra(seed, image, size) if image.spectra else PRESETS[preset].render(*options)
        Image.fromarray(pixels).save(root / image.path, quality=_JPEG_QUALITY)
    return len(images)
