"""What the authors of each data set publish about it: folders, cameras and counts."""

from dataclasses import dataclass

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.data.llcm import LLCM
from torchreid_rgbir.data.regdb import RegDB
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.protocols import llcm, sysu_mm01
from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic

TRAIN_IDS, TRAIN_RGB, TRAIN_IR = "training identities", "training RGB images", "training IR images"
TEST_IDS, QUERY, GALLERY = "test identities", "query images (IR)", "gallery images (RGB)"


@dataclass(frozen=True)
class Layout:
    """What to expect of a data set beyond what its adapter reads."""

    adapter: type[CrossModalImageDataset]
    image_folders: tuple[str, ...]  # images lie below
    camera_folders: tuple[str, ...] = ()  # and below each of these there must be some
    published: dict[str, int] | None = None
    mend: str = "unpack the official archive again"  # when the counts are others


_SYSU_FOLDERS = tuple(f"cam{camid}" for camid in sysu_mm01.CAMERAS)

LAYOUTS = {
    "sysu_mm01": Layout(
        SYSUMM01,
        image_folders=_SYSU_FOLDERS,
        camera_folders=_SYSU_FOLDERS,
        published={TRAIN_IDS: 395, TRAIN_RGB: 22258, TRAIN_IR: 11909, TEST_IDS: 96, QUERY: 3803, GALLERY: 6775},
    ),
    "regdb": Layout(
        RegDB,
        image_folders=("Visible", "Thermal"),
        published={TRAIN_IDS: 206, TRAIN_RGB: 2060, TRAIN_IR: 2060, TEST_IDS: 206, QUERY: 2060, GALLERY: 2060},
    ),
    "llcm": Layout(
        LLCM,
        image_folders=("vis", "nir", "test_vis", "test_nir"),
        camera_folders=tuple(
            f"test_{llcm.NAMES[modality]}/cam{camid}" for modality, camids in llcm.CAMERAS.items() for camid in camids
        ),
        published={TRAIN_IDS: 713, TEST_IDS: 351},
    ),
    "rgbir_folder": Layout(
        RGBIRFolder,
        image_folders=tuple(f"{subset}/{name}" for subset in ("train", "test") for name in NAMES),
    ),
    "rgbir_synthetic": Layout(
        RGBIRSynthetic,
        image_folders=_SYSU_FOLDERS,
        camera_folders=_SYSU_FOLDERS,
        published={TRAIN_IDS: 800, TRAIN_RGB: 12800, TRAIN_IR: 6400, TEST_IDS: 200, QUERY: 1600, GALLERY: 3200},
        mend="remove the folder, and the next training draws it again",
    ),
}
