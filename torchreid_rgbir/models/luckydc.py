"""The network of LuckyDC's baseline (github.com/LuckyDC/RGB-IR-ReID-Baseline, commit 49801f8)."""

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50

from torchreid_rgbir.models.dual_resnet import MODELS, DualResNet
from torchreid_rgbir.models.imagenet import start_from


def luckydc_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool | str = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Builds a ResNet-50 with one stream, average pooling and BNNeck.

    The arguments and errors are those of `dual_resnet50`.
    """
    resnet = resnet50()
    start_from(resnet, pretrained, ResNet50_Weights.IMAGENET1K_V1)
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = DualResNet(resnet, num_classes, loss, last_stride, pool=average, shared_stem=True)
    model.name = "luckydc_resnet50"
    return model


MODELS["luckydc_resnet50"] = luckydc_resnet50
