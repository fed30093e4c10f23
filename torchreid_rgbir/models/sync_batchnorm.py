"""Batch normalization with the statistics of all processes."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchreid_rgbir import distributed
from torchreid_rgbir.models.dual_timm import DualTimm
from torchreid_rgbir.models.two_stream import TwoStreamNetwork


def synchronize(model: TwoStreamNetwork, device: torch.device) -> TwoStreamNetwork:
    """Gives a model batch normalization over all processes: torch's on GPUs, and `SyncBatchNorm` on CPUs.

    torch's SyncBatchNorm does not run on CPUs. Parameters and buffers stay the same tensors with the same names.
    """
    if device.type == "cuda":
        if isinstance(model, DualTimm):
            from timm.layers import convert_sync_batchnorm

            return convert_sync_batchnorm(model)  # knows timm's normalizations, which include the activation
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[return-value]
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SyncBatchNorm  # both classes have the same state, so nothing has to be copied
    return model


class SyncBatchNorm(_BatchNorm):
    """torch.nn.SyncBatchNorm for any device. Every process has the same number of images, and momentum is a number."""

    def forward(self, input: Tensor) -> Tensor:
        """input: (B, C) or (B, C, H, W), the images of this process.  Returns the same shape."""
        if not self.training:
            return self._activated(super().forward(input))
        dtype = input.dtype
        input = input.to(torch.promote_types(dtype, torch.float))  # half precision would round the statistics
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        world_size = distributed.world_size()
        mean = distributed.total(input.mean(dims)) / world_size  # (C,)
        centered = input - mean.view(shape)
        var = distributed.total(centered.square().mean(dims)) / world_size  # (C,)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            num = world_size * input.numel() / len(mean)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (num / (num - 1)), self.momentum)
        scale = (var + self.eps).rsqrt() if self.weight is None else (var + self.eps).rsqrt() * self.weight
        output = centered * scale.view(shape)
        return self._activated((output if self.bias is None else output + self.bias.view(shape)).to(dtype))

    def _activated(self, maps: Tensor) -> Tensor:
        """timm's normalizations include a dropout and the activation that follow them."""
        return self.act(self.drop(maps)) if hasattr(self, "act") else maps  # type: ignore[operator]

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts any number of dimensions."""
