"""How a model is tested: which of its features, by which modality's queries, with which extras."""

from dataclasses import dataclass

from torch import Tensor

from torchreid_rgbir.metrics import Rerank
from torchreid_rgbir.models import DualResNet
from torchreid_rgbir.models.embedding import embed


@dataclass(frozen=True)
class EvalOptions:
    """Choices of a test; the defaults are the patent's.

    Attributes:
        query: "ir" or "rgb", the modality that asks (first, where the protocol has both directions).
        sampling: how SYSU-MM01's galleries are drawn, "official" or "agw".
        feature: "bn", after batch normalization, or "pooled", before it.
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
        """Normalized images (B, 3, H, W) of one modality to features (B, D)."""
        return embed(model, images, modality, self.feature, self.flip)
