"""Sobel edge maps of images. They are the targets of the perceptual edge loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from torchreid_rgbir.models.precision import full_precision

KERNELS = (
    ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),  # horizontal
    ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),  # vertical
    ((0, 1, 2), (-1, 0, 1), (-2, -1, 0)),  # the two diagonals
    ((-2, -1, 0), (-1, 0, 1), (0, 1, 2)),
)
_COPIES: dict[tuple[torch.device, torch.dtype], Tensor] = {}  # of the kernels


@torch.no_grad()
@full_precision
def edge_map(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Computes edge strength: the root of the sum of squares of a gray image's Sobel responses in four directions.

    Border pixels are repeated outside the image, so that its border is not an edge. The map is averaged over areas.

    Args:
        images: (B, 3, H, W) in [0, 1], not normalized.
        size: (h, w) of the result.

    Returns:
        (B, 1, h, w), at least 0, without gradient.
    """
    red, green, blue = images.split(1, dim=1)
    gray = 0.299 * red + 0.587 * green + 0.114 * blue  # (B, 1, H, W), luma of ITU-R BT.601
    padded = F.pad(gray, (1, 1, 1, 1), mode="replicate")
    responses = F.conv2d(padded, _kernels(images.device, images.dtype))  # (B, 4, H, W)
    edges = responses.square().sum(dim=1, keepdim=True).sqrt()  # (B, 1, H, W)
    return F.adaptive_avg_pool2d(edges, size)


@torch.compiler.assume_constant_result
def _kernels(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(4, 1, 3, 3).  A copy to the GPU waits for all work before it, so it is made once and not at every step."""
    # torch.compile ignores functools.cache, and would copy the kernels at every step.
    if (device, dtype) not in _COPIES:
        _COPIES[device, dtype] = torch.tensor(KERNELS, device=device, dtype=dtype).unsqueeze(1)
    return _COPIES[device, dtype]
