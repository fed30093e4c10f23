"""The two-stream ResNet of MSO (ACM MM 2021): Layer0 once per modality, Layers 1-4 shared, GeM pooling, BNNeck."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum

from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.models.gem import GeM
from torchreid_rgbir.models.ibn import ResNet50IBNaWeights, resnet50_ibn_a
from torchreid_rgbir.models.imagenet import start_from
from torchreid_rgbir.models.timm_factory import CURATED, TwoStreamModels
from torchreid_rgbir.models.two_stream import TwoStreamNetwork


class DualResNet(TwoStreamNetwork):
    """A ResNet for visible and infrared images. `TwoStreamNetwork` describes its calls.

    Args:
        resnet: a ResNet whose parts have torchvision's names, with initial or pretrained weights. The model takes its
            parts. Its stem (conv1, bn1, relu, maxpool) becomes Layer0 of both modalities, with equal weights at first.
        num_classes: N, the number of training identities.
        loss: decides what training mode returns; see `forward`.
        last_stride: the stride of Layer4, 1 or 2. With 1 its maps are twice as high and wide.
        pool: a module that pools Layer4's maps (B, D, h, w) to (B, D). `GeM()` when None.
        shared_stem: both modalities have the same Layer0, as in methods with one stream.

    Attributes:
        name: the name in torchreid's registry, such as 'dual_resnet50'.
        feature_dim: D, 512 for ResNet-18 and -34, 2048 for the deeper ones.

    Raises:
        ValueError: the loss or the last stride is unknown.

    Examples:
        >>> import torch
        >>> model = dual_resnet18(num_classes=10, loss="mso", pretrained=False)
        >>> outputs = model(torch.rand(4, 3, 64, 32), num_rgb=2)
        >>> outputs.features.shape
        torch.Size([4, 512])
    """

    def __init__(
        self,
        resnet: Any,
        num_classes: int,
        loss: str = "softmax",
        last_stride: int = 1,
        pool: nn.Module | None = None,
        shared_stem: bool = False,
    ) -> None:
        super().__init__(loss)
        if last_stride not in (1, 2):
            raise ValueError(f"last stride is {last_stride!r}: choose 1 or 2")
        self.last_stride = last_stride

        parts = OrderedDict(conv1=resnet.conv1, bn1=resnet.bn1, relu=resnet.relu, maxpool=resnet.maxpool)
        layer0 = nn.Sequential(parts)
        self.layer0 = nn.ModuleDict({NAMES[RGB]: layer0, NAMES[IR]: layer0 if shared_stem else deepcopy(layer0)})
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        set_stride(self.layer4, last_stride)
        self.gem = pool or GeM()
        self.add_head(num_classes, resnet.fc.in_features)

    def shared(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: (B, 64, H / 4, W / 4) of Layer0.  Returns Layer4's maps (B, D, h, w), which are also what is pooled."""
        featuremaps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return featuremaps, featuremaps

    def pool(self, last: Tensor) -> Tensor:
        """Layer4's maps (B, D, h, w).  Returns (B, D)."""
        return self.gem(last)


def set_stride(layer4: nn.Module, stride: int) -> None:
    """Changes the stride of a ResNet's Layer4 from 2 to `stride`, in place."""
    # The strided 3x3 convolution is conv1 in a basic block and conv2 in a bottleneck. The shortcut has the same stride.
    for module in layer4.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (stride, stride)


def add_after_blocks(
    resnet: Any, places: Mapping[str, Sequence[int]], make: Callable[[int], nn.Module], name: str
) -> None:
    """Adds modules between the blocks of a ResNet, in place. The names of its weights do not change.

    Args:
        resnet: before it becomes a `DualResNet`, with its ImageNet weights.
        places: the blocks to add a module after, from 0, by layer: {"layer2": (2, 3)}.
        make: called with the number of channels of the block's maps (B, C, h, w). The module returns the same shape.
        name: of the added modules. The one after block 2 is `2_NAME`.
    """
    for layer, blocks in places.items():
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for index, block in enumerate(getattr(resnet, layer)):
            parts[str(index)] = block
            if index in blocks:
                parts[f"{index}_{name}"] = make(block.conv3.out_channels)
        setattr(resnet, layer, nn.Sequential(parts))


def _factory(resnet: Callable[[], nn.Module], weights: WeightsEnum) -> Callable[..., DualResNet]:
    """Makes the factory of a two-stream network. It takes the arguments of torchreid's factories and `last_stride`."""

    def build(
        num_classes: int,
        loss: str = "softmax",
        pretrained: bool | str = True,
        use_gpu: bool = True,
        last_stride: int = 1,
    ) -> DualResNet:
        """Builds a two-stream network.

        Args:
            num_classes: N, the number of training identities.
            loss: 'softmax', 'triplet' or 'mso'. It decides what training mode returns.
            pretrained: start from ImageNet weights, or from those in a file.
            use_gpu: has no effect. torchreid passes it to every factory, and the model is built on the CPU.
            last_stride: the stride of Layer4, 1 or 2.

        Raises:
            FileNotFoundError: the pretrained weights are not in torch's cache, and there is no network.
            ValueError: the loss or the last stride is unknown, or the weights file is damaged.
        """
        single = resnet()
        start_from(single, pretrained, weights)
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

RESNETS = (dual_resnet18, dual_resnet34, dual_resnet50, dual_resnet101, dual_resnet50_ibn_a)
MODELS = TwoStreamModels({factory.__name__: factory for factory in RESNETS}, **CURATED)
