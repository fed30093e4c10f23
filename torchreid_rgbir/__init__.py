"""Visible-infrared re-identification for torchreid. Importing it registers data sets, models, losses and engines."""

# ruff: noqa: E402  (the order of the imports matters)
__version__ = "0.1.0"

from torchreid_rgbir.integration import old_names


def __getattr__(name: str) -> object:
    """Imports `install` when it is first used: not every program patches torchreid."""
    if name == "install":
        from torchreid_rgbir.integration.torchreid_patch import install

        return install
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


old_names.install()  # after `__getattr__`, which it extends, and before the modules that had other names

from torchreid_rgbir import host, losses
from torchreid_rgbir.data import LLCM, SYSUMM01, CrossModalDataManager, RegDB, RGBIRFolder
from torchreid_rgbir.data.bupt_campus import BUPTCampus
from torchreid_rgbir.data.hitsz_vcm import HITSZVCM
from torchreid_rgbir.data.spectrum_folders import MSVR310, RGBNT201
from torchreid_rgbir.data.wide_images import RGBN300, RGBNT100
from torchreid_rgbir.engine import CrossModalEngine, ImageMSOEngine
from torchreid_rgbir.integration.torchreid_tools import check_engines, check_feature_extractor
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.vgg import vgg16_bn
from torchreid_rgbir.synthetic import RGBIRSynthetic

DATASETS = {
    "sysu_mm01": SYSUMM01,
    "regdb": RegDB,
    "llcm": LLCM,
    "rgbnt100": RGBNT100,
    "rgbn300": RGBN300,
    "msvr310": MSVR310,
    "rgbnt201": RGBNT201,
    "hitsz_vcm": HITSZVCM,
    "bupt_campus": BUPTCampus,
    "rgbir_folder": RGBIRFolder,
    "rgbir_synthetic": RGBIRSynthetic,
}

host.allow_stock_checkpoints()
for _name, _dataset in DATASETS.items():
    host.register_image_dataset(_name, _dataset)
for _name, _factory in MODELS.items():
    host.register_model(_name, _factory)
host.register_model("vgg16_bn", vgg16_bn)
host.publish("data", CrossModalDataManager=CrossModalDataManager)
host.publish("engine", ImageMSOEngine=ImageMSOEngine, CrossModalEngine=CrossModalEngine)
host.publish(
    "losses",
    MSOLoss=losses.MSOLoss,
    PerceptualEdgeLoss=losses.PerceptualEdgeLoss,
    ContrastiveCenterLoss=losses.ContrastiveCenterLoss,
    WeightedTripletLoss=losses.WeightedTripletLoss,
)
check_feature_extractor()
check_engines()
host.alias()  # `from torchreid.losses import MSOLoss` works with PyPI's package, too

from torchreid_rgbir.integration.registry import register_dataset, register_loss, register_model, register_timm

__all__ = [
    "DATASETS",
    "MODELS",
    "__version__",
    "install",
    "register_dataset",
    "register_loss",
    "register_model",
    "register_timm",
]
