"""ResNet-50 with IBN-a: Pan et al., Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, 2018.

In Layers 1-3, the first normalization of each block is an instance normalization for half of its channels. The stem is
that of ResNet-50.
"""

from torch import nn
from torchvision.models import ResNet50_Weights, Weights, WeightsEnum

from torchreid_rgbir import host


class ResNet50IBNaWeights(WeightsEnum):
    """The ImageNet weights of IBN-Net's authors (MIT license). torchreid itself loads those of a plain ResNet-50."""

    IMAGENET1K_V1 = Weights(
        url="https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
        transforms=ResNet50_Weights.IMAGENET1K_V1.transforms,
        meta={},
    )


def resnet50_ibn_a() -> nn.Module:
    """Builds torchreid's network. Its classifier is named `fc`, as in torchvision and in the published weights."""
    network = host.models.build_model("resnet50_ibn_a", num_classes=1000, pretrained=False)
    network.fc = network.classifier
    del network.classifier
    return network
