"""What all two-stream networks have in common: a Layer0 per modality, shared layers, pooling, BNNeck and a classifier."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.models.batch import Outputs

# The values of a model's argument `loss`. It decides what training mode returns.
LOSS_NAMES = ("softmax", "triplet", "mso")


class TwoStreamNetwork(nn.Module):
    """A network for visible and infrared images.

    The RGB images of a batch come first. Their number is an argument, so that no tensor has to be read to find it.
    A subclass has `layer0`, defines `shared` and `pool`, and calls `add_head` last in its constructor.

    Args:
        loss: decides what training mode returns; see `forward`.

    Attributes:
        name: the name in torchreid's registry, such as 'dual_resnet50'.
        feature_dim: D, the size of a feature.
        last_stride: the stride of the last layer, 1 or 2.
        layer0: the first layers of each modality, under 'rgb' and 'ir'.

    Raises:
        ValueError: the loss is unknown.
    """

    name = ""
    feature_dim: int
    last_stride = 1
    layer0: nn.ModuleDict

    def __init__(self, loss: str = "softmax") -> None:
        super().__init__()
        if loss not in LOSS_NAMES:
            raise ValueError(f"loss {loss!r} is unknown: choose one of {', '.join(LOSS_NAMES)}")
        self.loss = loss

    def add_head(self, num_classes: int, feature_dim: int) -> None:
        """Adds BNNeck and the classifier.

        Args:
            num_classes: N, the number of training identities.
            feature_dim: D, the size of a feature.
        """
        self.feature_dim = feature_dim
        self.bottleneck = nn.BatchNorm1d(feature_dim)
        # There is no bias at all, rather than a frozen one: torchreid makes every parameter trainable at each epoch.
        self.bottleneck.register_parameter("bias", None)
        self.classifier = nn.Linear(feature_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    @property
    def options(self) -> dict[str, Any]:
        """The factory's arguments that decide how the network is built, besides the number of classes. Checkpoints have them."""
        return {"last_stride": self.last_stride}

    def set_image_size(self, height: int, width: int) -> None:
        """Prepares the network for images of this size, in pixels. Only networks with position embeddings need that.

        It replaces parameters, so it is called before an optimizer is built.

        Raises:
            ValueError: the network cannot process images of this size. The message has the nearest sizes.
        """

    def depths(self) -> dict[str, int]:
        """Each parameter's depth by name: 0 in Layer0, then one more per layer. The head has the largest number."""
        layers = [name for name, _ in self.named_children() if name.startswith("layer")]
        first = {name: name.partition(".")[0] for name, _ in self.named_parameters()}
        return {name: layers.index(part) if part in layers else len(layers) for name, part in first.items()}

    def layer0_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape (C0, h0, w0) of an image's Layer0 maps, without computing them.  height, width: of the image, in pixels."""
        probe = without_memory(self).eval()
        probe.set_image_size(height, width)
        channels, rows, columns = probe.layer0[NAMES[RGB]](torch.zeros(1, 3, height, width, device="meta")).shape[1:]
        return channels, rows, columns

    def shared(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The shared layers.

        Args:
            maps: (B, C0, h0, w0) of Layer0.

        Returns:
            The maps (B, C, h, w) of the last layer, and what `pool` takes.
        """
        raise NotImplementedError

    def pool(self, last: Tensor) -> Tensor:
        """What `shared` returned second.  Returns pooled features (B, D)."""
        raise NotImplementedError

    def forward(
        self, images: Tensor, num_rgb: int | None = None, return_featuremaps: bool = False
    ) -> Tensor | tuple[Tensor, ...]:
        """Computes features of images, and in training mode what the loss needs.

        Args:
            images: (B, 3, H, W), normalized. The first `num_rgb` are RGB. The rest are IR, with three equal channels.
            num_rgb: 0 to B. None means that all images are RGB, because torchreid's own code calls `model(images)`.
            return_featuremaps: return the last layer's maps (B, C, h, w) instead.

        Returns:
            In evaluation mode, the features (B, D) after batch normalization. In training mode, depending on `loss`:
            'softmax' logits (B, N); 'triplet' (logits, features); 'mso' `Outputs`, with Layer0's maps.

        Raises:
            ValueError: `num_rgb` does not fit the batch, or the images are not normalized.
        """
        layer0_maps, featuremaps, last = self._backbone(images, num_rgb)
        if return_featuremaps:
            return featuremaps
        pooled = self.pool(last)  # (B, D)
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
            Pooled features (B, D), and features (B, D), as `forward` returns in evaluation mode.
        """
        pooled = self.pool(self._backbone(images, num_rgb)[2])
        return pooled, self.bottleneck(pooled)

    def stream(self, modality: int) -> "Stream":
        """Returns the model for one modality, RGB or IR. It is called with images alone and shares the weights."""
        return Stream(self, modality)

    def compile_backbone(self) -> None:
        """Makes torch.compile compile Layer0 and the shared layers at their next call. Names and weights do not change.

        Copy the model before this call. A later copy would run the layers of this model.
        """
        # All layers are compiled as one function. Layers of one class share their code. If each were compiled alone,
        # torch would soon compile that code for variable sizes, and then stop compiling it.
        self._backbone = torch.compile(self._backbone)  # type: ignore[method-assign]

    def _backbone(self, images: Tensor, num_rgb: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the maps of Layer0 (B, C0, h0, w0) and what `shared` makes of them."""
        maps = self._layer0_maps(images, num_rgb)
        return maps, *self.shared(maps)

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
        if rgb is ir:
            return rgb(images)  # batch normalization over both modalities
        # A modality without images must not reach its batch normalization.
        if num_rgb == num_images:
            return rgb(images)
        if num_rgb == 0:
            return ir(images)
        return torch.cat([rgb(images[:num_rgb]), ir(images[num_rgb:])])


class Stream(nn.Module):
    """A two-stream network for one modality, for code that calls `model(images)`: complexity counts, export, activation maps.

    It contains the model itself. Weights are shared, and `train()` and `eval()` change the mode of both.

    Raises:
        ValueError: the modality is unknown.
    """

    def __init__(self, model: TwoStreamNetwork, modality: int) -> None:
        super().__init__()
        if modality not in (RGB, IR):
            raise ValueError(f"modality is {modality!r}: choose {RGB} (RGB) or {IR} (IR)")
        self.model = model
        self.modality = modality
        self.training = model.training

    def forward(self, images: Tensor, return_featuremaps: bool = False) -> Tensor | tuple[Tensor, ...]:
        """images: (B, 3, H, W), normalized, all of this modality.  Returns what the model's `forward` returns."""
        return self.model(images, None if self.modality == RGB else 0, return_featuremaps)


def without_memory(module: nn.Module) -> Any:
    """A copy of a module on torch's meta device, which computes shapes only. The weights are not copied."""
    memo: dict[int, Any] = {
        id(value): nn.Parameter(value.detach().to("meta"), value.requires_grad) for value in module.parameters()
    }
    memo |= {id(value): value.to("meta") for value in module.buffers()}
    return deepcopy(module, memo)
