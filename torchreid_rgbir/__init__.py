"""Visible-infrared re-identification for torchreid. Importing it registers data sets, models, losses and engines."""

# ruff: noqa: E402  (the order of the imports matters)
__version__ = "0.1.0"

from torchreid_rgbir.integration import old_names

old_names.install()  # before the modules that had other names

from torchreid_rgbir import host, losses
from torchreid_rgbir.data import LLCM, SYSUMM01, CrossModalDataManager, RegDB, RGBIRFolder
from torchreid_rgbir.engine import CrossModalEngine, ImageMSOEngine
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
host.publish("data", CrossModalDataManager=CrossModalDataManager)
host.publish("engine", ImageMSOEngine=ImageMSOEngine, CrossModalEngine=CrossModalEngine)
host.publish(
    "losses",
    MSOLoss=losses.MSOLoss,
    PerceptualEdgeLoss=losses.PerceptualEdgeLoss,
    ContrastiveCenterLoss=losses.ContrastiveCenterLoss,
    WeightedTripletLoss=losses.WeightedTripletLoss,
)
host.alias()  # `from torchreid.losses import MSOLoss` works with PyPI's package, too

from torchreid_rgbir.integration.registry import register_dataset, register_loss, register_model
from torchreid_rgbir.integration.torchreid_patch import install

__all__ = ["DATASETS", "MODELS", "__version__", "install", "register_dataset", "register_loss", "register_model"]
