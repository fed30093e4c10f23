"""Writes synthetic RGB-IR data sets as JPEG files in official layouts, to run everything without the licensed data."""

import json
import multiprocessing
import os
import shutil
import signal
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from PIL import Image

from torchreid_rgbir.data.loading import deferred_signal
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.layouts import LAYOUTS, Picture, Plan
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.terminal import progress

SUMMARY = "synthetic.json"
MIN_IDS, MAX_IDS = 5, 9999  # a last fifth needs five; the layouts name identities and images with four digits
_JPEG_QUALITY = 95
_CHUNK = 64  # pictures a worker draws at a time
_PICTURES_PER_WORKER = 4000  # starting a worker (it imports the package) costs about as much as drawing these


def describe(
    layout: str,
    num_ids: int,
    images_per_camera: int,
    seed: int = 0,
    size: tuple[int, int] = (64, 128),
    preset: str = "standard",
) -> dict[str, Any]:
    """What `synthesize` with these arguments writes: its arguments, the preset's version, and the counts.

    Raises:
        ValueError: an argument that no data set can be made from.
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
    """Whether `out` holds what `synthesize` with these arguments writes (a set appears there complete, or not at all).

    Raises:
        ValueError: an argument that no data set can be made from.
    """
    arguments = _arguments(layout, num_ids, images_per_camera, seed, size, preset)
    try:
        found = json.loads((Path(out) / SUMMARY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    # Sets that name no preset are older than the second one.
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
    """Writes a synthetic data set; the same arguments give the same bytes, with any number of workers.

    Args:
        layout: `sysu_mm01`, `regdb`, `llcm` or `folder`.
        out: folder to make; it must not exist or be empty. It appears only when all of the set is written.
        num_ids: identities in all; the last fifth is for testing (RegDB: each split draws its own half).
        images_per_camera: images per identity and camera (LLCM: camera and modality).
        seed: of the identities, the pictures and the splits, >= 0.
        size: width and height of the images in pixels.
        workers: processes that draw; None: as many as there are processors, fewer for a small set.
        preset: `standard`, or `hard`: occluded, from all sides, dark, noisy, blurred.

    Returns:
        The contents of `out/synthetic.json`: the arguments, the preset's version, and the counts.

    Raises:
        ValueError: an argument that no data set can be made from.
        OSError: `out` exists and is not empty, or cannot be written.
    """
    arguments = _arguments(layout, num_ids, images_per_camera, seed, size, preset)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}: give 1 or more processes")
    target = Path(out).expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{out} exists and is not an empty folder: choose another one, or remove it first")
    plan = LAYOUTS[layout](num_ids, images_per_camera, seed)
    description = arguments | _counts(plan)
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(plan.pictures) // _PICTURES_PER_WORKER)

    # Everything goes to a folder beside the target, which takes the target's name when it is whole.
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise type(error)(f"cannot write {out} ({error.strerror}): choose a folder that you may write to") from error
    try:
        plan.files[SUMMARY] = (json.dumps(description, indent=1) + "\n").encode()
        _write(part, plan, preset, seed, size, workers)
        os.replace(part, target)
    except BaseException:  # Ctrl-C too
        shutil.rmtree(part, ignore_errors=True)
        raise
    return description


def _arguments(
    layout: str, num_ids: int, images_per_camera: int, seed: int, size: tuple[int, int], preset: str
) -> dict[str, Any]:
    # What decides over every byte, checked.
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
    modalities = [picture.camera.modality for picture in plan.pictures]
    return {
        "num_train_ids": plan.num_train_ids,
        "num_test_ids": plan.num_test_ids,
        "num_rgb_images": modalities.count(RGB),
        "num_ir_images": modalities.count(IR),
    }


def _write(root: Path, plan: Plan, preset: str, seed: int, size: tuple[int, int], workers: int) -> None:
    for folder in {(root / path).parent for path in [*plan.files, *(picture.path for picture in plan.pictures)]}:
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in plan.files.items():
        (root / path).write_bytes(content)
    chunks = [plan.pictures[i : i + _CHUNK] for i in range(0, len(plan.pictures), _CHUNK)]
    with progress(None, "drawing", len(plan.pictures), unit="image") as bar:
        _draw_all(root, chunks, preset, seed, size, workers, bar.update)


def _draw_all(
    root: Path,
    chunks: list[list[Picture]],
    preset: str,
    seed: int,
    size: tuple[int, int],
    workers: int,
    advance: Callable[[int], object],
) -> None:
    if workers == 1:
        for chunk in chunks:
            advance(_draw(root, chunk, preset, seed, size))
        return
    # Never a plain fork: the caller may have threads (torch's) that a forked child would wait for.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # the package is imported once, not by every worker
    pool = ProcessPoolExecutor(min(workers, len(chunks)), context, initializer=_ignore_interrupts)
    try:
        # A worker that is started but not yet the pool's would be waited for at exit, for ever.
        with deferred_signal(signal.SIGINT):
            futures = [pool.submit(_draw, root, chunk, preset, seed, size) for chunk in chunks]
        for future in as_completed(futures):
            advance(future.result())
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that draws images ended early (too little memory, or a script without "
            '`if __name__ == "__main__":`): give workers=1 to draw in this process'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw(root: Path, pictures: list[Picture], preset: str, seed: int, size: tuple[int, int]) -> int:
    for picture in pictures:
        pixels = PRESETS[preset].render(seed, picture.pid, picture.camera, picture.number, size)
        Image.fromarray(pixels).save(root / picture.path, quality=_JPEG_QUALITY)
    return len(pictures)
