"""A two-stream network from a network of timm: its first layers exist once per modality, and the rest is shared.

timm (PyTorch Image Models, Apache-2.0) is the extra `timm`. Its classes are not imported here.
"""

from collections import OrderedDict
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.models.gem import GeM
from torchreid_rgbir.models.two_stream import TwoStreamNetwork, without_memory

PATCHES = ("patch_embed",)
# The beginning of each family. The first one whose parts a network has is used.
FAMILIES = {
    "ViT, DeiT, DINOv2 and CLIP (patch_embed)": PATCHES,
    "ConvNeXt and RegNet (stem)": ("stem",),
    "EfficientNet and MobileNet (conv_stem, bn1)": ("conv_stem", "bn1"),
    "ResNet (conv1, bn1, act1, maxpool)": ("conv1", "bn1", "act1", "maxpool"),
}
POOLINGS = ("auto", "token", "mean", "gem")


class DualTimm(TwoStreamNetwork):
    """A network of timm for visible and infrared images. `TwoStreamNetwork` describes its calls.

    Args:
        network: made by `timm.create_model`, with initial or pretrained weights. The model takes its parts. Both
            modalities have a copy of its first layers, and its classifier is removed.
        num_classes: N, the number of training identities.
        loss: decides what training mode returns; see `forward`.
        last_stride: the stride of a convolutional network's last stage, 1 or 2. A transformer has none and takes 1.
        pooling: 'token' (class token), 'mean', 'gem', or 'auto': the class token if the network has one, GeM for networks
            with batch normalization, as for the ResNets, and the mean for all others.

    Attributes:
        name: the name in torchreid's registry, such as 'dual_vit_small', or 'timm/NAME'.
        feature_dim: D, the number of channels of the network's last maps.

    Raises:
        ValueError: the first layers have an unknown form, or the loss, the last stride or the pooling does not fit the
            network.
    """

    def __init__(
        self, network: Any, num_classes: int, loss: str = "softmax", last_stride: int = 1, pooling: str = "auto"
    ) -> None:
        super().__init__(loss)
        architecture = network.pretrained_cfg["architecture"]
        beginning = next((parts for parts in FAMILIES.values() if all(hasattr(network, part) for part in parts)), None)
        if beginning is None or (beginning == PATCHES and not hasattr(network, "set_input_size")):
            raise ValueError(
                f"timm's {architecture} has no beginning that can be split between the modalities: choose a network of the "
                f"families {'; '.join(FAMILIES)}"
            )
        strided, unused = _last_stage_and_head(network, architecture)
        if last_stride not in (1, 2) or (last_stride == 2 and not strided):
            raise ValueError(
                f"last stride is {last_stride!r}: choose 1 or 2"
                if strided
                else f"last stride is {last_stride!r}, and timm's {architecture} has no strided last stage: set it to 1"
            )
        self.last_stride = last_stride
        self.num_prefix_tokens: int = getattr(network, "num_prefix_tokens", 0)
        self.pooling = _pooling(network, architecture, pooling)
        for name in strided if last_stride == 1 else ():
            _remove_stride(network, name)
        for name in unused:
            network.set_submodule(name, nn.Identity())
        self.architecture = architecture
        for module in network.modules():
            # The gradient of these needs their input, so that autograd copies it before it is overwritten.
            if isinstance(module, nn.ReLU6 | nn.SiLU | nn.Hardswish):
                module.inplace = False

        if beginning == PATCHES:
            layer0: nn.Module = PatchMaps(network.patch_embed)
            spatial = getattr(network, "dynamic_img_size", False) or _is_nhwc(network)
            network.patch_embed = Tokens(spatial, network.patch_embed.grid_size)
        else:
            layer0 = nn.Sequential(OrderedDict((part, getattr(network, part)) for part in beginning))
            for part in beginning:
                setattr(network, part, nn.Identity())
        self.layer0 = nn.ModuleDict({NAMES[RGB]: layer0, NAMES[IR]: deepcopy(layer0)})
        self.trunk = network
        self.gem = GeM() if self.pooling == "gem" else None
        self.add_head(num_classes, network.num_features)

    @property
    def options(self) -> dict[str, Any]:
        return super().options | {"pooling": self.pooling}

    def depths(self) -> dict[str, int]:
        from timm.models import group_parameters

        trunk = group_parameters(self.trunk, self.trunk.group_matcher(coarse=False), reverse=True)
        depths = {f"trunk.{name}": depth for name, depth in trunk.items()}
        head = max(depths.values()) + 1
        return {
            name: 0 if name.startswith("layer0.") else depths.get(name, head) for name, _ in self.named_parameters()
        }

    def set_image_size(self, height: int, width: int) -> None:
        """Resamples position embeddings to images of this size, and checks that the network can process such images."""
        if self.patch_size:
            self._resample(height, width)
        try:
            without_memory(self).eval()(torch.zeros(2, 3, height, width, device="meta"))
        except (AssertionError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"timm's {self.architecture} cannot process images of {height} x {width} pixels ({reason}): change data.height "
                "and data.width, or choose a different network"
            ) from None

    @property
    def patch_size(self) -> tuple[int, int] | None:
        """The height and width of the patches that a transformer divides images into, in pixels. None for other networks."""
        layer0 = self.layer0[NAMES[RGB]]
        return layer0.embed.patch_size if isinstance(layer0, PatchMaps) else None

    def _resample(self, height: int, width: int) -> None:
        for side, size, patch in zip(("height", "width"), (height, width), self.patch_size or (), strict=True):
            if size % patch or size < patch:
                below = size - size % patch
                nearest = f"{below} or {below + patch}" if below else f"{patch}"
                raise ValueError(
                    f"data.{side} is {size}, and {self.name} divides images into patches of {patch} pixels: set data.{side} "
                    f"to {nearest}"
                )
        tokens: Any = self.trunk.patch_embed
        embed, embed_ir = (stream.embed for stream in self.layer0.values())  # type: ignore[union-attr]
        self.trunk.patch_embed = embed  # timm resamples with the network's own embedding in its place
        self.trunk.set_input_size(img_size=(height, width))
        self.trunk.patch_embed = tokens
        tokens.grid_size = embed.grid_size  # type: ignore[union-attr]
        embed_ir.set_input_size(img_size=(height, width))  # type: ignore[operator,union-attr]

    def shared(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: (B, C0, h0, w0) of Layer0.  Returns the last maps (B, D, h, w), and the class token (B, D) or the maps."""
        last = self.trunk.forward_features(maps)
        if last.dim() == 3:  # tokens (B, T, D), the prefix first
            featuremaps = last[:, self.num_prefix_tokens :].transpose(1, 2).unflatten(2, maps.shape[2:])  # (B, D, h, w)
        else:
            featuremaps = last.permute(0, 3, 1, 2) if _is_nhwc(self.trunk) else last
        return featuremaps, last[:, 0] if self.pooling == "token" else featuremaps

    def pool(self, last: Tensor) -> Tensor:
        """The class token (B, D), or maps (B, D, h, w).  Returns (B, D), at least in float32."""
        if self.gem is not None:
            return self.gem(last)
        last = last.to(torch.promote_types(last.dtype, torch.float32))
        return last if self.pooling == "token" else last.mean(dim=(2, 3))


class PatchMaps(nn.Module):
    """A patch embedding whose output has the form of maps, whatever form the network's own output has."""

    def __init__(self, embed: Any) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W).  Returns (B, C, H / patch, W / patch)."""
        size, expected = tuple(images.shape[2:]), tuple(self.embed.img_size)
        if size != expected:
            raise ValueError(
                f"the network is built for images of {expected[0]} x {expected[1]} pixels and got {size[0]} x {size[1]}: "
                f"call set_image_size({size[0]}, {size[1]}) before training"
            )
        patches = self.embed(images)
        if patches.dim() == 3:
            return patches.transpose(1, 2).unflatten(2, self.embed.grid_size)
        return patches.permute(0, 3, 1, 2) if str(self.embed.output_fmt).endswith("NHWC") else patches


class Tokens(nn.Module):
    """Replaces the patch embedding in the shared layers: converts maps to the form that these layers take.

    Args:
        spatial: the layers take (B, h, w, C) rather than (B, h w, C).
        grid_size: h and w. The shared layers of some networks read it.
    """

    def __init__(self, spatial: bool, grid_size: tuple[int, int]) -> None:
        super().__init__()
        self.spatial = spatial
        self.grid_size = grid_size

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (B, C, h, w).  Returns tokens."""
        return maps.permute(0, 2, 3, 1) if self.spatial else maps.flatten(2).transpose(1, 2)


def _is_nhwc(network: Any) -> bool:
    return getattr(network, "output_fmt", "NCHW") == "NHWC"


def _pooling(network: Any, architecture: str, pooling: str) -> str:
    has_token = getattr(network, "cls_token", None) is not None
    if pooling not in POOLINGS:
        raise ValueError(f"pooling {pooling!r} is unknown: choose one of {', '.join(POOLINGS)}")
    if pooling == "token" and not has_token:
        raise ValueError(f"model.pooling is token, and timm's {architecture} has no class token: choose mean or gem")
    if pooling != "auto":
        return pooling
    has_batchnorm = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    return "token" if has_token else "gem" if has_batchnorm else "mean"


def _last_stage_and_head(network: Any, architecture: str) -> tuple[list[str], list[str]]:
    """Finds the modules that give the last stage its stride, and those that the last maps do not depend on."""
    probe = without_memory(network).eval()
    sizes: dict[str, tuple[int, int]] = {}  # heights of strided modules' inputs and outputs
    for name, module in probe.named_modules():
        if getattr(module, "stride", 1) in (2, (2, 2)) and not list(module.children()):
            module.register_forward_hook(
                lambda _, given, maps, name=name: sizes.update({name: (given[0].shape[2], maps.shape[2])})
            )
    try:
        last = probe.forward_features(torch.zeros(2, *network.pretrained_cfg["input_size"], device="meta"))
        last.float().sum().backward()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"timm's {architecture} cannot be a two-stream network ({reason}): choose a network of the families "
            f"{'; '.join(FAMILIES)}"
        ) from None
    height = last.shape[1 if _is_nhwc(network) else 2] if last.dim() == 4 else 0
    strided = [name for name, (before, after) in sizes.items() if before > after == height]
    without_gradient = {name.rpartition(".")[0] for name, value in probe.named_parameters() if value.grad is None}
    unused: list[str] = []
    for name in sorted(without_gradient - {""}):
        if not name.startswith(tuple(f"{parent}." for parent in unused)):
            unused.append(name)
    return strided, unused


def _remove_stride(network: nn.Module, name: str) -> None:
    module: Any = network.get_submodule(name)
    if not isinstance(module, nn.Conv2d):
        network.set_submodule(name, nn.Identity())  # the pooling of a shortcut
        return
    module.stride = (1, 1)
    if module.kernel_size == (2, 2):  # it took separate patches; now it takes pixels on both sides of each position
        module.dilation, module.padding = (2, 2), (1, 1)
