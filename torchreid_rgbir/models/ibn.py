"""ResNet-50 with IBN-a: Pan et al., Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, ECCV 2018.

The first normalization of each block of Layers 1-3 is an instance normalization for half of its channels; the stem is ResNet-50's own.
"""

from torch import nn
from torchvision.models import ResNet50_Weights, Weights, WeightsEnum

from torchreid_rgbir import host


class ResNet50IBNaWeights(WeightsEnum):
    """The IBN-Net authors' own ImageNet weights (MIT license); torchreid starts from plain ResNet-50's, where names and shapes agree."""

    IMAGENET1K_V1 = Weights(
        url="https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
        transforms=ResNet50_Weights.IMAGENET1K_V1.transforms,
        meta={},
    )


def resnet50_ibn_a() -> nn.Module:
    """torchreid's network, its classifier named `fc` as torchvision's ResNets and the published weights have it."""
    network = host.models.build_model("resnet50_ibn_a", num_classes=1000, pretrained=False)
    network.fc = network.classifier
    del network.classifier
    return network
