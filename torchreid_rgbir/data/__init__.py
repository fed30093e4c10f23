"""Data sets, samplers of two modalities, batched augmentation and the data manager."""

from torchreid_rgbir.data import (
    caj_augmentations,
    luckydc_augmentations,
    mcja_augmentations,
)  # they register augmentations
from torchreid_rgbir.data.agw_sampler import AGWSampler
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.data.llcm import LLCM
from torchreid_rgbir.data.luckydc_sampler import LuckyDCSampler
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.mcja_sampler import MCJASampler
from torchreid_rgbir.data.regdb import RegDB
from torchreid_rgbir.data.sampler import SAMPLERS, CrossModalSampler
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01

__all__ = [
    "LLCM",
    "SAMPLERS",
    "SYSUMM01",
    "AGWSampler",
    "CrossModalDataManager",
    "CrossModalImageDataset",
    "CrossModalSampler",
    "Item",
    "LuckyDCSampler",
    "MCJASampler",
    "RGBIRFolder",
    "RegDB",
    "caj_augmentations",
    "luckydc_augmentations",
    "mcja_augmentations",
]
