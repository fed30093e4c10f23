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

LOSSES = ("softmax", "triplet", "mso")


class DualResNet(nn.Module):
    """A ResNet for visible and infrared images.

    A batch holds its RGB images first; `num_rgb` says how many, so that nothing is looked up in a tensor.

    Args:
        resnet: a ResNet whose parts have torchvision's names, as initialized or with pretrained weights. They are taken over, its
            stem (conv1, bn1, relu, maxpool = Layer0) twice, so both modalities start from the same weights.
        num_classes: number N of training identities.
        loss: what training mode returns; see `forward`.
        last_stride: stride of Layer4, 1 or 2; 1 keeps its maps twice as high and wide.

    Attributes:
        name: under which it is registered with torchreid, such as 'dual_resnet50'.
        feature_dim: D, 512 for ResNet-18 and -34, 2048 for the deeper ones.

    Raises:
        ValueError: an unknown loss or last stride.
    """

    name = ""

    def __init__(self, resnet: Any, num_classes: int, loss: str = "softmax", last_stride: int = 1) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"loss {loss!r} is unknown to this model: choose one of {', '.join(LOSSES)}")
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
        # No bias at all, rather than a frozen one: torchreid opens every parameter for training at each epoch.
        self.bottleneck.register_parameter("bias", None)
        self.classifier = nn.Linear(self.feature_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(
        self, images: Tensor, num_rgb: int | None = None, return_featuremaps: bool = False
    ) -> Tensor | tuple[Tensor, ...]:
        """Features of images; in training, what the loss needs.

        Args:
            images: (B, 3, H, W), normalized; the first `num_rgb` are RGB, the rest IR (one channel repeated to three).
            num_rgb: 0 to B; None means that all are RGB, as everything in torchreid that calls `model(images)` has it.
            return_featuremaps: return Layer4's maps (B, D, h, w) instead.

        Returns:
            In evaluation the features (B, D) after BN. In training, by `loss`: 'softmax' logits (B, N); 'triplet'
            (logits, features); 'mso' `Outputs`, whose maps are (B, 64, H / 4, W / 4).

        Raises:
            ValueError: `num_rgb` does not fit the batch.
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
        """The features before and after BN, in either mode.

        Args:
            images, num_rgb: as in `forward`.

        Returns:
            pooled (B, D), what GeM gives, and features (B, D), what evaluation returns.
        """
        pooled = self.gem(self._backbone(images, num_rgb)[1])
        return pooled, self.bottleneck(pooled)

    def stream(self, modality: int) -> "Stream":
        """The model for one modality, RGB or IR, called with images alone; it shares the weights."""
        return Stream(self, modality)

    def compile_backbone(self) -> None:
        """Compiles Layers 0-4 by torch.compile at their next call, in place: names, weights and checkpoints stay as they are.

        A copy made afterwards would run this model's layers: copy before.
        """
        # As one: layers of one class share their code, for which torch would soon compile sizes left open, then nothing any more.
        self._backbone = torch.compile(self._backbone)  # type: ignore[method-assign]

    def _backbone(self, images: Tensor, num_rgb: int | None) -> tuple[Tensor, Tensor]:
        """Layer0's maps (B, 64, H / 4, W / 4) and Layer4's (B, D, h, w)."""
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
            raise ValueError(f"num_rgb is {num_rgb}, expected 0 to the batch's {num_images} images")
        rgb, ir = self.layer0[NAMES[RGB]], self.layer0[NAMES[IR]]
        # A modality without images must not reach its batch normalization.
        if num_rgb == num_images:
            return rgb(images)
        if num_rgb == 0:
            return ir(images)
        return torch.cat([rgb(images[:num_rgb]), ir(images[num_rgb:])])


class Stream(nn.Module):
    """One modality's view of a `DualResNet`, for whatever calls `model(images)`: complexity counts, export, activation maps.

    It holds the model itself, so weights are shared and its `train()` and `eval()` are the model's.

    Raises:
        ValueError: an unknown modality.
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
    """Gives a ResNet's Layer4, which halves its maps, another stride; in place."""
    # The one strided 3x3 convolution is conv1 in a basic block and conv2 in a bottleneck; the shortcut follows it.
    for module in layer4.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (stride, stride)


def _build(
    resnet: Callable[[], nn.Module],
    weights: WeightsEnum,
    num_classes: int,
    loss: str,
    pretrained: bool,
    last_stride: int,
) -> DualResNet:
    single = resnet()
    if pretrained:
        load_imagenet(single, weights, instead="set model.pretrained False")
    model = DualResNet(single, num_classes, loss, last_stride)
    model.name = f"dual_{resnet.__name__}"
    return model


def dual_resnet18(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Two-stream ResNet-18; see `dual_resnet50`."""
    weights = models.ResNet18_Weights.IMAGENET1K_V1
    return _build(models.resnet18, weights, num_classes, loss, pretrained, last_stride)


def dual_resnet34(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Two-stream ResNet-34; see `dual_resnet50`."""
    weights = models.ResNet34_Weights.IMAGENET1K_V1
    return _build(models.resnet34, weights, num_classes, loss, pretrained, last_stride)


def dual_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Two-stream ResNet-50, called as torchreid calls its models' factories.

    Args:
        num_classes: number N of training identities.
        loss: 'softmax', 'triplet' or 'mso': what training returns.
        pretrained: start from ImageNet weights.
        use_gpu: torchreid passes it to every factory; the model is built on the CPU either way.
        last_stride: stride of Layer4, 1 or 2.

    Raises:
        FileNotFoundError: no pretrained weights in torch's cache, and no network.
        ValueError: an unknown loss or last stride, or a broken weights file.
    """
    weights = models.ResNet50_Weights.IMAGENET1K_V1
    return _build(models.resnet50, weights, num_classes, loss, pretrained, last_stride)


def dual_resnet101(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Two-stream ResNet-101; see `dual_resnet50`."""
    weights = models.ResNet101_Weights.IMAGENET1K_V1
    return _build(models.resnet101, weights, num_classes, loss, pretrained, last_stride)


def dual_resnet50_ibn_a(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True, last_stride: int = 1
) -> DualResNet:
    """Two-stream ResNet-50 with IBN-a in the shared layers; see `dual_resnet50`."""
    weights = ResNet50IBNaWeights.IMAGENET1K_V1
    return _build(resnet50_ibn_a, weights, num_classes, loss, pretrained, last_stride)


MODELS: dict[str, Callable[..., DualResNet]] = {
    "dual_resnet18": dual_resnet18,
    "dual_resnet34": dual_resnet34,
    "dual_resnet50": dual_resnet50,
    "dual_resnet101": dual_resnet101,
    "dual_resnet50_ibn_a": dual_resnet50_ibn_a,
}
