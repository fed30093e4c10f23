"""Generalized-mean (GeM) pooling: Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018."""

import torch
from torch import Tensor, nn


def gem(maps: Tensor, p: Tensor | float, eps: float = 1e-6) -> Tensor:
    """Generalized mean over H and W. With p = 1 it is the average; as p grows, it approaches the maximum.

    Args:
        maps: (B, C, H, W). Values below `eps` are replaced by `eps`.
        p: the exponent, a number or a tensor of one element.
        eps: above 0, so that every exponent is defined.

    Returns:
        (B, C), at least in float32, because cubes of half-precision values overflow or vanish.
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    maps = maps.clamp(min=eps)
    # Values are divided by their channel's maximum: no large exponent overflows, and no dead channel vanishes.
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


class FixedGeM(nn.Module):
    """GeM pooling as in AGW's code: the exponent is not learned, and nothing is clamped.

    Args:
        p: the exponent. The maps must not be negative.
        eps: added to the mean, so that a channel without a positive value has a finite gradient.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-12) -> None:
        super().__init__()
        self.p = p
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (B, C, H, W).  Returns (B, C), at least in float32."""
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        return (maps.pow(self.p).mean(dim=(2, 3)) + self.eps).pow(1 / self.p)
