"""`rgbir_synthetic`: the preset `hard` as a fixed benchmark, one per version, that writes itself where it is asked for."""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.write import is_written, synthesize

logger = logging.getLogger(__name__)

LAYOUT, PRESET, IMAGES_PER_CAMERA = "sysu_mm01", "hard", 4


class RGBIRSynthetic(SYSUMM01):
    """Drawn people as two IR and four RGB cameras see them in bad conditions, in SYSU-MM01's layout and scored by its protocol.

    The identities, pictures and trials are fixed by the version alone, so scores on one version are comparable, and on two are not.

    Args:
        root: the folder that holds it as `rgbir_synthetic/hard-vN`, or this folder; it is drawn there if it is not there yet.
        write: draw it if need be; else a missing one is an error.
        **kwargs: torchreid's.

    Raises:
        FileNotFoundError: it is not there, with `write` False.
        ValueError: another data set is in its place.
        OSError: it cannot be written.
    """

    version = f"{PRESET}-v{PRESETS[PRESET].version}"
    folder = f"rgbir_synthetic/{version}"

    def __init__(self, root: str = "", write: bool = True, **kwargs):
        super().__init__(str(find_benchmark(root, write)), **kwargs)


def find_benchmark(root: str, write: bool = True) -> Path:
    """The benchmark's folder; several processes may ask at once, of which one draws and the others wait.

    Args:
        root: as `RGBIRSynthetic`'s.
        write: draw it there if it is not there yet.

    Raises:
        FileNotFoundError, ValueError, OSError: as `RGBIRSynthetic` says.
    """
    top = Path(root).expanduser().absolute()
    if _is_whole(top):
        return top
    folder = top if top.match(RGBIRSynthetic.folder) else top / RGBIRSynthetic.folder
    if _is_whole(folder):
        return folder
    if write:
        with _only_one_writes(folder):
            if not _is_whole(folder):
                _write(folder)
        return folder
    if folder.exists():
        raise _another(folder)
    raise FileNotFoundError(
        f"{folder} is missing: a training with `-s rgbir_synthetic --root {root}` draws it, "
        f"as does `torchreid-rgbir synthesize --layout {LAYOUT} --preset {PRESET} --out {folder}`"
    )


def _is_whole(folder: Path) -> bool:
    return is_written(LAYOUT, folder, PRESETS[PRESET].num_ids, IMAGES_PER_CAMERA, preset=PRESET)


def _write(folder: Path) -> None:
    if folder.exists():
        raise _another(folder)
    for left in folder.parent.glob(f".{folder.name}.*.part"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    logger.info("drawing the synthetic benchmark into %s, once; this takes minutes", folder)
    # Not in several processes: they would import a caller's script anew, which may ask for the benchmark and wait for this very process.
    synthesize(LAYOUT, folder, PRESETS[PRESET].num_ids, IMAGES_PER_CAMERA, workers=1, preset=PRESET)


def _another(folder: Path) -> ValueError:
    return ValueError(
        f"{folder} holds something else than the benchmark of that name: remove it, and it is drawn again"
    )


@contextmanager
def _only_one_writes(folder: Path) -> Iterator[None]:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Freed by the system when its process ends, however it ends.
        lock = os.open(folder.parent / f".{folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror}): set data.root (--root) to a folder that you may write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
