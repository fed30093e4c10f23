"""Data sets, the P x K x 2 sampler, batched augmentation and the data manager."""

from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.folder import RGBIRFolder
from torchreid_rgbir.data.llcm import LLCM
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.regdb import RegDB
from torchreid_rgbir.data.sampler import CrossModalSampler
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01

__all__ = [
    "LLCM",
    "SYSUMM01",
    "CrossModalDataManager",
    "CrossModalImageDataset",
    "CrossModalSampler",
    "Item",
    "RGBIRFolder",
    "RegDB",
]
