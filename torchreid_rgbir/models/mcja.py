"""The network of MCJA: Liang et al., Bridging the Gap, TCSVT 2024.

A ResNet-50 with one stream, five modality distribution adapters (MDA) and GeM pooling with a fixed exponent. It follows the
authors' code: github.com/workingcoder/MCJA, commit efc1ffe.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from torchreid_rgbir.models.dual_resnet import MODELS, DualResNet, add_after_blocks
from torchreid_rgbir.models.gem import FixedGeM
from torchreid_rgbir.models.imagenet import start_from

ADAPTERS = {"layer2": (2, 3), "layer3": (3, 4, 5)}  # the blocks that an adapter follows


class MDA(nn.Module):
    """Multiplies feature maps by a gate per channel, normalizes the product and adds it to the maps.

    M attention maps weight the positions. Each gives a pooled vector. The gate combines the M vectors, channel by channel.
    The normalization starts at zero, so a new block leaves its input unchanged.

    Args:
        num_channels: C.
        num_modalities: M.
    """

    def __init__(self, num_channels: int, num_modalities: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(num_channels, num_modalities, kernel_size=1)
        self.gate = nn.Conv1d(num_channels, num_channels, num_modalities, groups=num_channels, bias=False)
        self.gate_norm = nn.BatchNorm1d(num_channels)
        self.norm = nn.BatchNorm2d(num_channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (B, C, H, W).  Returns maps of the same shape."""
        attention = self.attention(maps).flatten(2).softmax(dim=2)  # (B, M, HW)
        pooled = torch.matmul(maps.flatten(2), attention.transpose(1, 2))  # (B, C, M)
        gate = self.gate_norm(self.gate(pooled)).sigmoid()  # (B, C, 1)
        return self.norm(maps * gate[..., None]) + maps


def _factory(name: str, num_modalities: int) -> Callable[..., DualResNet]:
    def build(
        num_classes: int,
        loss: str = "softmax",
        pretrained: bool | str = True,
        use_gpu: bool = True,
        last_stride: int = 2,
    ) -> DualResNet:
        """Builds MCJA's network. The arguments and errors are those of `dual_resnet50`. The authors' last stride is 2."""
        resnet = resnet50()
        start_from(resnet, pretrained, ResNet50_Weights.IMAGENET1K_V1)
        add_after_blocks(resnet, ADAPTERS, partial(MDA, num_modalities=num_modalities), "mda")
        model = DualResNet(resnet, num_classes, loss, last_stride, pool=FixedGeM(), shared_stem=True)
        model.name = name
        model.classifier.reset_parameters()  # PyTorch's initial weights
        return model

    build.__name__ = build.__qualname__ = name
    return build


mcja_resnet50 = _factory("mcja_resnet50", num_modalities=2)  # of the authors' configuration for SYSU-MM01
mcja_resnet50_m12 = _factory("mcja_resnet50_m12", num_modalities=12)  # for RegDB

MODELS |= {factory.__name__: factory for factory in (mcja_resnet50, mcja_resnet50_m12)}
