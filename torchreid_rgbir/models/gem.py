"""Generalized-mean (GeM) pooling: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018."""

import torch
from torch import Tensor, nn


def gem(maps: Tensor, p: Tensor | float, eps: float = 1e-6) -> Tensor:
    """Generalized mean over H and W: p = 1 is the average, p -> infinity the maximum.

    Args:
        maps: (B, C, H, W); values under `eps` count as `eps`.
        p: the exponent, a number or a tensor of one element.
        eps: lower bound of the values, so that any exponent is defined.

    Returns:
        (B, C), in float32 also for maps of reduced precision (their cubes would overflow or vanish), float64 for float64.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = maps.clamp(min=eps)
    # Relative to its maximum, no value overflows under a large exponent, and none of a dead channel's vanishes.
    largest = maps.detach().amax(dim=(2, 3), keepdim=True)
    return (maps / largest).pow(p).mean(dim=(2, 3)).pow(1 / p) * largest.flatten(1)


class GeM(nn.Module):
    """GeM pooling with one learnable exponent for all channels, initially 3."""

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (B, C, H, W).  Returns (B, C)."""
        return gem(maps, self.p, self.eps)
