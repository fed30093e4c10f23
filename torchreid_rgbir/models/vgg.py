"""VGG-16 with batch normalization as a one-stream model of torchreid: Simonyan and Zisserman, ICLR 2015.

It is trained on a classification where no ImageNet weights can be had. The perceptual edge loss takes its features
(`loss.pef.weights FILE`).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import VGG16_BN_Weights
from torchvision.models.vgg import cfgs, make_layers

from torchreid_rgbir.models.imagenet import load_imagenet

CHANNELS = 512  # of the last block
PREFIX = "features."  # of the convolutional part's weights, as in torchvision


class VGG16(nn.Module):
    """VGG-16's convolutional part, a mean over the map and a classifier.

    Args:
        num_classes: N.
        loss: what training mode returns: the logits for 'softmax', logits and features for 'triplet'.

    Raises:
        ValueError: the loss is unknown.
    """

    feature_dim = CHANNELS

    def __init__(self, num_classes: int, loss: str = "softmax") -> None:
        super().__init__()
        if loss not in ("softmax", "triplet"):
            raise ValueError(f"loss {loss!r} is unknown: choose softmax or triplet")
        self.loss = loss
        self.features = make_layers(cfgs["D"], batch_norm=True)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.classifier = nn.Linear(CHANNELS, num_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Computes features (B, 512) in evaluation mode, and what `loss` selects in training mode.

        Args:
            images: (B, 3, H, W), normalized. H and W are at least 32 pixels.
        """
        features = self.features(images).mean(dim=(2, 3))
        if not self.training:
            return features
        logits = self.classifier(features)
        return logits if self.loss == "softmax" else (logits, features)


def vgg16_bn(num_classes: int, loss: str = "softmax", pretrained: bool = False, **unused: Any) -> VGG16:
    """Builds the model as torchreid's `build_model` calls it.

    Raises:
        FileNotFoundError: the ImageNet weights are not in torch's cache and cannot be downloaded.
    """
    model = VGG16(num_classes, loss)
    if pretrained:
        load_imagenet(model.features, VGG16_BN_Weights.IMAGENET1K_V1, PREFIX, instead="set model.pretrained False")
    return model


def folded(features: nn.Sequential) -> nn.Sequential:
    """Merges each batch normalization into the convolution before it. In evaluation mode the result computes the same.

    Args:
        features: the convolutional part of `VGG16`.

    Returns:
        The layers of VGG-16 without batch normalization.
    """
    layers: list[nn.Module] = []
    for layer in features.eval():
        if isinstance(layer, nn.BatchNorm2d):
            convolution: nn.Conv2d = layers.pop()  # type: ignore[assignment]
            layer = torch.nn.utils.fuse_conv_bn_eval(convolution, layer)
        layers.append(layer)
    return nn.Sequential(*layers)
