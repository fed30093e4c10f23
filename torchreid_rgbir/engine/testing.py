"""How a model is tested: which of its features, by which modality's queries, with which extras."""

from dataclasses import dataclass

from torch import Tensor

from torchreid_rgbir.metrics import Rerank
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.models import DualResNet


@dataclass(frozen=True)
class Testing:
    """Choices of a test; the defaults are the patent's.

    Attributes:
        query: "ir" or "rgb", the modality that asks (first, where the protocol has both directions).
        sampling: how SYSU-MM01's galleries are drawn, "official" or "agw".
        feature: "bn", after batch normalisation, or "pooled", before it.
        flip: add the feature of the mirrored image.
        rerank: also score with k-reciprocal re-ranking, in rows of its own.
    """

    __test__ = False  # its name makes pytest look for tests in it

    query: str = "ir"
    sampling: str = "official"
    feature: str = "bn"
    flip: bool = False
    rerank: Rerank | None = None

    def embed(self, model: DualResNet, images: Tensor, modality: int) -> Tensor:
        """Normalised images (B, 3, H, W) of one modality to features (B, D)."""
        num_rgb = len(images) if modality == RGB else 0
        views = [images, images.flip(3)] if self.flip else [images]
        embedded = [
            dict(zip(("pooled", "bn"), model.embed(view, num_rgb), strict=True))[self.feature] for view in views
        ]
        return sum(embedded[1:], embedded[0])
