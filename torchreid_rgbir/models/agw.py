"""The network of AGW: Ye et al., Deep Learning for Person Re-identification, TPAMI 2021. CAJ (ICCV 2021) has the same network.

A two-stream ResNet-50 with five non-local blocks, GeM pooling with a fixed exponent, and BNNeck's weights initially
around 1. It follows the authors' code: github.com/mangye16/Cross-Modal-Re-ID-baseline, commit e817a26.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from torchreid_rgbir.models.dual_resnet import MODELS, DualResNet, add_after_blocks
from torchreid_rgbir.models.gem import FixedGeM
from torchreid_rgbir.models.imagenet import start_from

NON_LOCAL = {"layer2": (2, 3), "layer3": (3, 4, 5)}  # the blocks that a non-local block follows


class NonLocal(nn.Module):
    """A non-local block without a softmax (Wang et al., Non-local Neural Networks, CVPR 2018), with one inner channel.

    Position i of the output is x_i + BN(W(y_i)) with y_i = sum_j theta(x_i) phi(x_j) g(x_j) / N over all N positions. The sum
    over j does not depend on i, so the N x N matrix of the authors' code is not needed. A new block leaves its input
    unchanged.

    Args:
        num_channels: C, of the input and the output.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(num_channels, 1, 1) for _ in range(3))
        self.W = nn.Conv2d(1, num_channels, 1)
        self.bn = nn.BatchNorm2d(num_channels)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w).  Returns the same shape."""
        convs = (self.theta, self.phi, self.g)
        weight, bias = (torch.cat(parts) for parts in zip(*((conv.weight, conv.bias) for conv in convs), strict=True))
        theta, phi, g = F.conv2d(x, weight, bias).split(1, dim=1)  # (B, 1, h, w) each, in one pass over x
        y = theta * (phi * g).mean(dim=(2, 3), keepdim=True)  # (B, 1, h, w)
        return x + self.bn(self.W(y))


def agw_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool | str = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Builds AGW's network. The arguments and errors are those of `dual_resnet50`."""
    resnet = resnet50()
    start_from(resnet, pretrained, ResNet50_Weights.IMAGENET1K_V1)
    add_after_blocks(resnet, NON_LOCAL, NonLocal, "non_local")
    model = DualResNet(resnet, num_classes, loss, last_stride, pool=FixedGeM())
    model.name = "agw_resnet50"
    nn.init.normal_(model.bottleneck.weight, 1.0, 0.01)
    return model


MODELS["agw_resnet50"] = agw_resnet50
