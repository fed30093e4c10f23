"""The two-stream ResNet of MSO (ACM MM 2021): Layer0 once per modality, Layers 1-4 shared, GeM pooling, BNNeck."""

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.models.batch import Outputs
from torchreid_rgbir.models.gem import GeM
from torchreid_rgbir.models.ibn import ResNet50IBNaWeights, resnet50_ibn_a
from torchreid_rgbir.models.imagenet import load_imagenet

# The values of a model's argument `loss`. It decides what training mode returns.
LOSS_NAMES = ("softmax", "triplet", "mso")


class DualResNet(nn.Module):
    """A ResNet for visible and infrared images.

    The RGB images of a batch come first. Their number is an argument, so that no tensor has to be read to find it.

    Args:
        resnet: a ResNet whose parts have torchvision's names, with initial or pretrained weights. The model takes its
            parts. Its stem (conv1, bn1, relu, maxpool) becomes Layer0 of both modalities, with equal weights at first.
        num_classes: N, the number of training identities.
        loss: decides what training mode returns; see `forward`.
        last_stride: the stride of Layer4, 1 or 2. With 1 its maps are twice as high and wide.

    Attributes:
        name: the name in torchreid's registry, such as 'dual_resnet50'.
        feature_dim: D, 512 for ResNet-18 and -34, 2048 for the deeper ones.

    Raises:
        ValueError: the loss or the last stride is unknown.

    Examples:
        >>> model = dual_resnet18(num_classes=10, loss="mso", pretrained=False)
        >>> outputs = model(torch.rand(4, 3, 64, 32), num_rgb=2)
        >>> outputs.features.shape
        torch.Size([4, 512])
    """

    name = ""

    def __init__(self, resnet: Any, num_classes: int, loss: str = "softmax", last_stride: int = 1) -> None:
        super().__init__()
        if loss not in LOSS_NAMES:
            raise ValueError(f"loss {loss!r} is unknown: choose one of {', '.join(LOSS_NAMES)}")
        if last_stride not in (1, 2):
            raise ValueError(f"last stride is {last_stride!r}: choose 1 or 2")
        self.loss = loss
        self.last_stride = last_stride
        self.feature_dim = resnet.fc.in_features

        parts = OrderedDict(conv1=resnet.conv1, bn1=resnet.bn1, relu=resnet.relu, maxpool=resnet.maxpool)
        layer0 = nn.Sequential(parts)
        self.layer0 = nn.ModuleDict({NAMES[RGB]: layer0, NAMES[IR]: deepcopy(layer0)})
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        set_stride(self.layer4, last_stride)
        self.gem = GeM()
        self.bottleneck = nn.BatchNorm1d(self.feature_dim)
        # There is no bias at all, rather than a frozen one: torchreid makes every parameter trainable at each epoch.
        self.bottleneck.register_parameter("bias", None)
        self.classifier = nn.Linear(self.feature_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(
        self, images: Tensor, num_rgb: int | None = None, return_featuremaps: bool = False
    ) -> Tensor | tuple[Tensor, ...]:
        """Computes features of images, and in training mode what the loss needs.

        Args:
            images: (B, 3, H, W), normalized. The first `num_rgb` are RGB. The rest are IR, with three equal channels.
            num_rgb: 0 to B. None means that all images are RGB, because torchreid's own code calls `model(images)`.
            return_featuremaps: return Layer4's maps (B, D, h, w) instead.

        Returns:
            In evaluation mode, the features (B, D) after batch normalization. In training mode, depending on `loss`:
            'softmax' logits (B, N); 'triplet' (logits, features); 'mso' `Outputs`, with maps (B, 64, H / 4, W / 4).

        Raises:
            ValueError: `num_rgb` does not fit the batch, or the images are not normalized.
        """
        layer0_maps, featuremaps = self._backbone(images, num_rgb)
        if return_featuremaps:
            return featuremaps
        pooled = self.gem(featuremaps)  # (B, D)
        features = self.bottleneck(pooled)  # (B, D)
        if not self.training:
            return features
        logits = self.classifier(features)  # (B, N)
        if self.loss == "softmax":
            return logits
        if self.loss == "triplet":
            return logits, features
        return Outputs(logits, features, pooled, layer0_maps, featuremaps)

    def embed(self, images: Tensor, num_rgb: int | None = None) -> tuple[Tensor, Tensor]:
        """Computes the features before and after batch normalization, in training and in evaluation mode.

        Args:
            images, num_rgb: as in `forward`.

        Returns:
            Pooled features (B, D), the output of GeM, and features (B, D), as `forward` returns in evaluation mode.
        """
        pooled = self.gem(self._backbone(images, num_rgb)[1])
        return pooled, self.bottleneck(pooled)

    def stream(self, modality: int) -> "Stream":
        """Returns the model for one modality, RGB or IR. It is called with images alone and shares the weights."""
        return Stream(self, modality)

    def compile_backbone(self) -> None:
        """Makes torch.compile compile Layers 0-4 at their next call. Names, weights and checkpoints do not change.

        A copy that is made afterwards would run the layers of this model. Copy the model before.
        """
        # All layers are compiled as one function. Layers of one class share their code. If each were compiled alone,
        # torch would soon compile that code for variable sizes, and then stop compiling it.
        self._backbone = torch.compile(self._backbone)  # type: ignore[method-assign]

    def _backbone(self, images: Tensor, num_rgb: int | None) -> tuple[Tensor, Tensor]:
        """Returns the maps of Layer0 (B, 64, H / 4, W / 4) and of Layer4 (B, D, h, w)."""
        maps = self._layer0_maps(images, num_rgb)
        return maps, self.layer4(self.layer3(self.layer2(self.layer1(maps))))

    def _layer0_maps(self, images: Tensor, num_rgb: int | None) -> Tensor:
        num_images = images.shape[0]
        if not images.is_floating_point():
            raise ValueError(
                f"the model needs normalized images, got {images.dtype}: train on a CrossModalDataManager with "
                "ImageMSOEngine or CrossModalEngine"
            )
        if num_rgb is None:
            num_rgb = num_images
        if not 0 <= num_rgb <= num_images:
            raise ValueError(f"num_rgb is {num_rgb}: expected 0 to the batch's {num_images} images")
        rgb, ir = self.layer0[NAMES[RGB]], self.layer0[NAMES[IR]]
        # A modality without images must not reach its batch normalization.
        if num_rgb == num_images:
            return rgb(images)
        if num_rgb == 0:
            return ir(images)
        return torch.cat([rgb(images[:num_rgb]), ir(images[num_rgb:])])


class Stream(nn.Module):
    """A `DualResNet` for one modality, for code that calls `model(images)`: complexity counts, export, activation maps.

    It contains the model itself. Weights are shared, and `train()` and `eval()` change the mode of both.

    Raises:
        ValueError: the modality is unknown.
    """

    def __init__(self, model: DualResNet, modality: int) -> None:
        super().__init__()
        if modality not in (RGB, IR):
            raise ValueError(f"modality is {modality!r}: choose {RGB} (RGB) or {IR} (IR)")
        self.model = model
        self.modality = modality
        self.training = model.training

    def forward(self, images: Tensor, return_featuremaps: bool = False) -> Tensor | tuple[Tensor, ...]:
        """images: (B, 3, H, W), normalized, all of this modality.  Returns what `DualResNet.forward` returns."""
        return self.model(images, None if self.modality == RGB else 0, return_featuremaps)


def set_stride(layer4: nn.Module, stride: int) -> None:
    """Changes the stride of a ResNet's Layer4 from 2 to `stride`, in place."""
    # The strided 3x3 convolution is conv1 in a basic block and conv2 in a bottleneck. The shortcut has the same stride.
    for module in layer4.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (stride, stride)


def _factory(resnet: Callable[[], nn.Module], weights: WeightsEnum) -> Callable[..., DualResNet]:
    """Makes the factory of a two-stream network. It takes the arguments of torchreid's factories and `last_stride`."""

    def build(
        num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
    ) -> DualResNet:
        """Builds a two-stream network.

        Args:
            num_classes: N, the number of training identities.
            loss: 'softmax', 'triplet' or 'mso'. It decides what training mode returns.
            pretrained: start from ImageNet weights.
            use_gpu: has no effect. torchreid passes it to every factory, and the model is built on the CPU.
            last_stride: the stride of Layer4, 1 or 2.

        Raises:
            FileNotFoundError: the pretrained weights are not in torch's cache, and there is no network.
            ValueError: the loss or the last stride is unknown, or the weights file is damaged.
        """
        single = resnet()
        if pretrained:
            load_imagenet(single, weights, instead="set model.pretrained False")
        model = DualResNet(single, num_classes, loss, last_stride)
        model.name = build.__name__
        return model

    build.__name__ = build.__qualname__ = f"dual_{resnet.__name__}"
    return build


dual_resnet18 = _factory(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1)
dual_resnet34 = _factory(models.resnet34, models.ResNet34_Weights.IMAGENET1K_V1)
dual_resnet50 = _factory(models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1)
dual_resnet101 = _factory(models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1)
dual_resnet50_ibn_a = _factory(resnet50_ibn_a, ResNet50IBNaWeights.IMAGENET1K_V1)

MODELS: dict[str, Callable[..., DualResNet]] = {
    factory.__name__: factory
    for factory in (dual_resnet18, dual_resnet34, dual_resnet50, dual_resnet101, dual_resnet50_ibn_a)
}
