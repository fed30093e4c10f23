"""The published facts of each data set: folders, cameras and counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torchreid_rgbir.data.bupt_campus import BUPTCampus
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.data.hitsz_vcm import HITSZVCM
from torchreid_rgbir.data.llcm import LLCM
from torchreid_rgbir.data.regdb import RegDB
from torchreid_rgbir.data.spectra import SPECTRA
from torchreid_rgbir.data.spectrum_folders import MSVR310, RGBNT201
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01
from torchreid_rgbir.data.wide_images import RGBN300, RGBNT100, SUBSETS
from torchreid_rgbir.protocols import llcm, sysu_mm01
from torchreid_rgbir.synthetic.benchmark import RGBIRSynthetic

TRAIN_IDS, TRAIN_RGB, TRAIN_IR = "training identities", "training RGB images", "training IR images"
TEST_IDS, QUERY, GALLERY = "test identities", "query images (IR)", "gallery images (RGB)"


ALL_READ = -1  # as a depth: every image below the folder is read, so an image that is not used is at a wrong place


@dataclass(frozen=True)
class Layout:
    """What a data set should contain, beyond what its adapter reads.

    Attributes:
        adapter: the class that reads it.
        image_folders: folders with images below them, and how many folders deep these are read. None: lists name them.
        camera_folders: folders with at least one image below each.
        published: counts by what is counted.
        fix: what to do if the counts differ.
        variants: name -> arguments of the adapter, if the doctor loads the data set more than once.
    """

    adapter: type[CrossModalImageDataset]
    image_folders: dict[str, int | None]
    camera_folders: tuple[str, ...] = ()
    published: dict[str, int] | None = None
    fix: str = "unpack the official archive again"
    variants: Mapping[int | str, dict] = field(default_factory=dict)


_EACH_SPECTRUM: dict[int | str, dict] = {name: {"ir": name} for name in SPECTRA}
_SYSU_FOLDERS = tuple(f"cam{camid}" for camid in sysu_mm01.CAMERAS)

LAYOUTS = {
    "sysu_mm01": Layout(
        SYSUMM01,
        image_folders=dict.fromkeys(_SYSU_FOLDERS, 1),
        camera_folders=_SYSU_FOLDERS,
        published={TRAIN_IDS: 395, TRAIN_RGB: 22258, TRAIN_IR: 11909, TEST_IDS: 96, QUERY: 3803, GALLERY: 6775},
    ),
    "regdb": Layout(
        RegDB,
        image_folders={"Visible": None, "Thermal": None},
        published={TRAIN_IDS: 206, TRAIN_RGB: 2060, TRAIN_IR: 2060, TEST_IDS: 206, QUERY: 2060, GALLERY: 2060},
    ),
    "llcm": Layout(
        LLCM,
        image_folders={"vis": None, "nir": None, "test_vis": 2, "test_nir": 2},
        camera_folders=tuple(
            f"test_{llcm.NAMES[modality]}/cam{camid}" for modality, camids in llcm.CAMERAS.items() for camid in camids
        ),
        published={TRAIN_IDS: 713, TEST_IDS: 351},
    ),
    "rgbnt100": Layout(
        RGBNT100,
        image_folders=dict.fromkeys(SUBSETS, 0),
        published={TRAIN_IDS: 50, TRAIN_RGB: 8675, TRAIN_IR: 8675, TEST_IDS: 50, QUERY: 1715, GALLERY: 8575},
        variants=_EACH_SPECTRUM,
    ),
    "rgbn300": Layout(RGBN300, image_folders=dict.fromkeys(SUBSETS, 0)),
    "msvr310": Layout(
        MSVR310,
        image_folders=dict.fromkeys(MSVR310.subsets, 2),
        published={TRAIN_IDS: 155, TRAIN_RGB: 1032, TRAIN_IR: 1032, TEST_IDS: 155, QUERY: 591, GALLERY: 1055},
        variants=_EACH_SPECTRUM,
    ),
    "rgbnt201": Layout(
        RGBNT201,
        image_folders=dict.fromkeys(RGBNT201.subsets, 1),
        published={TRAIN_IDS: 171, TRAIN_RGB: 3951, TRAIN_IR: 3951, TEST_IDS: 30, QUERY: 836, GALLERY: 836},
        variants=_EACH_SPECTRUM,
    ),
    # Frames of the tracks that are long enough. Folders are not listed, because they contain the frames of skipped tracks, too.
    "hitsz_vcm": Layout(
        HITSZVCM,
        image_folders={},
        published={TRAIN_RGB: 126543, TRAIN_IR: 98214, QUERY: 105979, GALLERY: 118137},
    ),
    "bupt_campus": Layout(
        BUPTCampus,
        image_folders={},
        published={TRAIN_IDS: 1074, TRAIN_RGB: 398069, TRAIN_IR: 398069, TEST_IDS: 1076},
    ),
    "rgbir_folder": Layout(
        RGBIRFolder,
        image_folders={"train": ALL_READ, "test": ALL_READ},
    ),
    "rgbir_synthetic": Layout(
        RGBIRSynthetic,
        image_folders=dict.fromkeys(_SYSU_FOLDERS, 1),
        camera_folders=_SYSU_FOLDERS,
        published={TRAIN_IDS: 800, TRAIN_RGB: 12800, TRAIN_IR: 6400, TEST_IDS: 200, QUERY: 1600, GALLERY: 3200},
        fix="remove the folder, and the next training writes it again",
    ),
}
