"""`rgbir_synthetic`: a fixed benchmark in the preset `hard`, one per version, that is written on first use."""

import logging
import shutil
from pathlib import Path

from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.files import atomic
from torchreid_rgbir.synthetic.render import PRESETS
from torchreid_rgbir.synthetic.write import is_written, synthesize

logger = logging.getLogger(__name__)

LAYOUT, PRESET, IMAGES_PER_CAMERA = "sysu_mm01", "hard", 4


class RGBIRSynthetic(SYSUMM01):
    """Rendered people seen by two IR and four RGB cameras in bad conditions, in SYSU-MM01's layout and under its protocol.

    The version alone determines identities, images and trials: scores are comparable within one version only.

    Args:
        root: the folder that contains it as `rgbir_synthetic/hard-vN`, or this folder. It is written there if it is missing.
        write: write it if it is missing; False makes that an error.
        **kwargs: as torchreid's.

    Raises:
        FileNotFoundError: it is missing, and `write` is False.
        ValueError: the folder contains a different data set.
        OSError: it cannot be written.
    """

    version = f"{PRESET}-v{PRESETS[PRESET].version}"
    folder = f"rgbir_synthetic/{version}"

    def __init__(self, root: str = "", write: bool = True, **kwargs):
        super().__init__(str(find_benchmark(root, write)), **kwargs)


def find_benchmark(root: str, write: bool = True) -> Path:
    """Returns the benchmark's folder. If several processes need it, one writes it and the others wait.

    Arguments and errors are those of `RGBIRSynthetic`.
    """
    top = Path(root).expanduser().absolute()
    if _is_complete(top):
        return top
    folder = top if top.match(RGBIRSynthetic.folder) else top / RGBIRSynthetic.folder
    if _is_complete(folder):
        return folder
    if write:
        _write(folder)
        return folder
    if folder.exists():
        raise _other_content(folder)
    raise FileNotFoundError(
        f"{folder} is missing: training with `-s rgbir_synthetic --root {root}` writes it, "
        f"and so does `torchreid-rgbir synthesize --layout {LAYOUT} --preset {PRESET} --out {folder}`"
    )


def _is_complete(folder: Path) -> bool:
    return is_written(LAYOUT, folder, PRESETS[PRESET].num_ids, IMAGES_PER_CAMERA, preset=PRESET)


def _write(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written ({error.strerror}): set data.root (--root) to a folder that you may write to"
        ) from None
    with atomic.only_writer(folder):
        if _is_complete(folder):
            return
        if folder.exists():
            raise _other_content(folder)
        for left in folder.parent.glob(f".{folder.name}.*.part"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        logger.info("writing the synthetic benchmark into %s; this is done once and takes minutes", folder)
        # In this process: workers would import the caller's script again, which may need the benchmark and wait for it.
        synthesize(LAYOUT, folder, PRESETS[PRESET].num_ids, IMAGES_PER_CAMERA, workers=1, preset=PRESET)


def _other_content(folder: Path) -> ValueError:
    return ValueError(
        f"{folder} contains something other than this benchmark: remove the folder, and it is written again"
    )
