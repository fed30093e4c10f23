"""What a checkpoint contains besides weights, so that the file alone is enough to use and test the model."""

import os.path as osp
import platform

import numpy
import PIL
import scipy
import torch
import torchvision
from torch import nn
from yacs.config import CfgNode

from torchreid_rgbir import __version__, host
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.models import TwoStreamNetwork


def versions() -> dict[str, str]:
    """Returns the versions of every package that can change a result."""
    return {
        "torchreid_rgbir": __version__,
        "torchreid": host.torchreid.__version__,
        "torch": str(torch.__version__),  # a TorchVersion is not plain text
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
    }


def metadata(name: str, model: nn.Module, datamanager: CrossModalDataManager) -> dict:
    """Returns the metadata of a checkpoint, without the configuration of its run."""
    facts: dict = {"name": name, "num_classes": datamanager.num_train_pids}
    return {
        "model": facts | (model.options if isinstance(model, TwoStreamNetwork) else {}),
        "images": {
            "height": datamanager.height,
            "width": datamanager.width,
            "norm_mean": datamanager.transforms.mean.flatten().tolist(),
            "norm_std": datamanager.transforms.std.flatten().tolist(),
            "ir_range": datamanager.ir_range,
        },
        "versions": versions(),
    }


def describe(
    cfg: CfgNode, model: TwoStreamNetwork, datamanager: CrossModalDataManager, root: str | None = None
) -> CfgNode:
    """Returns a copy of `cfg` with the values that testing and using the model need.

    Args:
        cfg: the configuration for everything that model and data do not show.
        root: `data.root`. None selects the folder that contains all images of the data manager.
    """
    cfg = cfg.clone()
    cfg.model.name = model.name
    for option, value in model.options.items():
        cfg.model[option] = value
    cfg.data.root = _folder_of_images(datamanager) if root is None else root
    cfg.data.sources, cfg.data.targets = datamanager.sources, datamanager.targets
    cfg.data.height, cfg.data.width = datamanager.height, datamanager.width
    cfg.data.norm_mean = datamanager.transforms.mean.flatten().tolist()
    cfg.data.norm_std = datamanager.transforms.std.flatten().tolist()
    return cfg


def _folder_of_images(datamanager: CrossModalDataManager) -> str:
    loaders = [loader for pair in datamanager.test_loader.values() for loader in pair.values()]
    return osp.commonpath([item[0] for loader in (datamanager.train_loader, *loaders) for item in loader.dataset.data])
