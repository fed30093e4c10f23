"""AGW's and CAJ's steps from weights and images of a formula, whose results are stored in agw_golden.json.

`tests/peers/test_agw.py` computes the stored numbers with the authors' code, `tests/runs/test_agw_golden.py` with ours.
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).with_name("agw_golden.json")
NUM_CLASSES, NUM_STEPS = 5, 2
HEIGHT, WIDTH = 48, 24


def wave(num: int, phase: float) -> Tensor:
    """(num,) numbers between -1 and 1, in double precision, without an order that a convolution would see."""
    place = torch.arange(num)
    return torch.sin((place * place % 10007).double() * 0.37 + phase)


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Fills our network with weights of a formula, as small as after training."""
    for number, (name, value) in enumerate(sorted(model.state_dict().items())):
        values = wave(value.numel(), number).view(value.shape)
        if not value.is_floating_point() or "running" in name:
            continue
        if value.dim() > 1:
            value.copy_(values * (2 / value[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            value.copy_(0.05 * values)
        elif "bn3" in name or "non_local.bn" in name:
            value.copy_(0.06 + 0.04 * values)
        else:
            value.copy_(0.75 + 0.25 * values)


def batch(step: int, num_views: int) -> tuple[Tensor, Tensor, int]:
    """Normalized images (B, 3, H, W) of three identities, RGB first, identities (B,), and the number of RGB images."""
    pids = torch.tensor([0, 0, 3, 3, 4, 4]).repeat(num_views + 1)
    pixels = 3 * HEIGHT * WIDTH
    images = [wave(pixels, int(pid)) + 0.5 * wave(pixels, 10 * step + row) for row, pid in enumerate(pids)]
    return torch.stack(images).view(-1, 3, HEIGHT, WIDTH), pids, 6 * num_views


def summary(
    pooled: Tensor, losses: dict[str, Tensor], gradients: dict[str, Tensor], weights: dict[str, Tensor]
) -> dict:
    """What is stored of a step. Weights and gradients have our names."""
    shown = ("layer0.ir.conv1.weight", "layer3.5_non_local.theta.weight", "layer4.2.conv2.weight", "classifier.weight")
    return {
        "features": [pooled.abs().sum().item(), pooled[1, 7].item(), pooled[-1, 100].item()],
        "losses": [value.item() for value in losses.values()],
        "gradients": {name: gradients[name].abs().sum().item() for name in shown},
        "weights": {name: weights[name].abs().sum().item() for name in shown},
    }


def stored(name: str) -> list[dict]:
    """The stored numbers of AGW's or CAJ's steps."""
    return json.loads(GOLDEN.read_text())[name]
