"""The contract of a training step: what goes into the model, and what comes out of it. Losses see nothing else."""

from typing import NamedTuple

from torch import Tensor

from torchreid_rgbir.models.precision import unit_length, widen


class Batch(NamedTuple):
    """A training batch. Its RGB images come first.

    In aligned halves, the RGB half and the IR half hold the same P identities in the same order, and the K images
    of an identity are neighbors. `CrossModalSampler` makes such batches.

    Attributes:
        images: (B, 3, H, W) in [0, 1], augmented, not normalized.
        pids: (B,) training identities, 0 to N - 1.
        num_rgb: the number of RGB images. It is B / 2 in aligned halves.
        num_ids: P, the number of identities.
        is_balanced: each identity has as many RGB as IR images. False for a sampler that does not see to it.
    """

    images: Tensor
    pids: Tensor
    num_rgb: int
    num_ids: int
    is_balanced: bool = True

    @property
    def has_aligned_halves(self) -> bool:
        """Whether each half, RGB and IR, has the same number of images of each identity."""
        num_images = len(self.pids)
        return self.is_balanced and 2 * self.num_rgb == num_images and num_images % (2 * self.num_ids) == 0

    def require_aligned_halves(self, loss: str) -> None:
        """Checks that the batch has as many IR images as RGB images, the same number of each identity.

        Raises:
            ValueError: it has not. The message names the loss.
        """
        if not self.has_aligned_halves:
            raise ValueError(
                f"{loss} compares the RGB half of a batch with its IR half: got {self.num_rgb} RGB images and "
                f"{len(self.pids) - self.num_rgb} IR images of {self.num_ids} identities, "
                "expected K images of each identity in each half"
            )


class _Fields(NamedTuple):
    logits: Tensor
    features: Tensor
    pooled: Tensor
    maps: Tensor
    featuremaps: Tensor


class Outputs(_Fields):
    """What a model returns in training with `loss='mso'`. Rows are in the order of the batch.

    Attributes:
        logits: (B, N) class scores.
        features: (B, D) after batch normalization, not of unit length.
        pooled: (B, D) before batch normalization.
        maps: (B, C0, h, w) of Layer0.
        featuremaps: (B, C, h, w) of the last layer.
    """

    @property
    def unit_features(self) -> Tensor:
        """`features` of unit length, in full precision, computed once for all losses. A zero vector stays zero."""
        if not hasattr(self, "_unit_features"):  # torch.compile cannot trace the lock of functools.cached_property
            self._unit_features = unit_length(self.features)
        return self._unit_features

    def full_precision(self) -> "Outputs":
        """The same outputs with logits, features and pooled features in single precision. Maps keep their type."""
        logits, features, pooled = (widen(rows) for rows in (self.logits, self.features, self.pooled))
        return self._replace(logits=logits, features=features, pooled=pooled)
