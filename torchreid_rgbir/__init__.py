"""Visible-infrared re-identification for torchreid; importing it registers its data sets and models with torchreid."""

# ruff: noqa: E402  (the order of the imports matters)
__version__ = "0.1.0"

from torchreid_rgbir.integration import old_names

old_names.install()  # before the modules that had other names

from torchreid_rgbir import host
from torchreid_rgbir.data import LLCM, SYSUMM01, RegDB, RGBIRFolder
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.synthetic import RGBIRSynthetic

DATASETS = {
    "sysu_mm01": SYSUMM01,
    "regdb": RegDB,
    "llcm": LLCM,
    "rgbir_folder": RGBIRFolder,
    "rgbir_synthetic": RGBIRSynthetic,
}

host.allow_stock_checkpoints()
for _name, _dataset in DATASETS.items():
    host.register_image_dataset(_name, _dataset)
for _name, _factory in MODELS.items():
    host.register_model(_name, _factory)

from torchreid_rgbir.integration.registry import register_dataset, register_loss, register_model
from torchreid_rgbir.integration.torchreid_patch import install

__all__ = ["DATASETS", "MODELS", "__version__", "install", "register_dataset", "register_loss", "register_model"]
