"""Layer-wise learning-rate decay: layers near the image, whose pretrained weights are the most general, learn more slowly.

The rule is that of BEiT (Bao et al., ICLR 2022): the rate of a layer is `decay` times the rate of the next layer.
"""

from torch.optim import Optimizer

from torchreid_rgbir.models import TwoStreamNetwork


def decay_by_depth(optimizer: Optimizer, model: TwoStreamNetwork, decay: float) -> None:
    """Divides an optimizer's only group of parameters by depth, in place. Only the head keeps the full learning rate.

    Args:
        optimizer: of the model's parameters, before its first step.
        model: its method `depths` returns the depth of each parameter.
        decay: above 0 and below 1.
    """
    depths = model.depths()
    (group,) = optimizer.param_groups
    head = max(depths.values())
    optimizer.param_groups = [
        group
        | {
            "params": [parameter for name, parameter in model.named_parameters() if depths[name] == depth],
            "lr": group["lr"] * decay ** (head - depth),
        }
        for depth in sorted(set(depths.values()))
    ]
