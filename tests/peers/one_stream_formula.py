"""Steps of LuckyDC's baseline and of MCJA from weights and images of a formula; the results are in one_stream_golden.json.

`tests/peers/test_one_stream_golden.py` computes the stored numbers with the authors' code,
`tests/runs/test_one_stream_golden.py` with ours.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.peers.agw_formula import HEIGHT, WIDTH, wave

GOLDEN = Path(__file__).with_name("one_stream_golden.json")
NUM_CLASSES = 12
PIDS = {  # of the RGB images, and of the IR images
    "luckydc": ([0, 0, 3, 3, 4, 4], [0, 0, 3, 3, 4, 4]),
    "mcja": ([0, 0, 0, 3, 4, 4, 4], [0, 3, 3, 3, 4]),
}


def batch(name: str, step: int) -> tuple[Tensor, Tensor, int]:
    """Normalized images (B, 3, H, W), RGB first, identities (B,), and the number of RGB images."""
    rgb, ir = PIDS[name]
    pids, pixels = torch.tensor([*rgb, *ir]), 3 * HEIGHT * WIDTH
    images = [wave(pixels, int(pid)) + 0.5 * wave(pixels, 10 * step + row) for row, pid in enumerate(pids)]
    return torch.stack(images).view(-1, 3, HEIGHT, WIDTH), pids, len(rgb)


def summary(features: Tensor, losses: list[float], gradients: dict[str, Tensor], weights: dict[str, Tensor]) -> dict:
    """What is stored of a step.  features: (B, D), after batch normalization. Gradients and weights have our names."""
    shown = ("layer0.rgb.conv1.weight", "layer3.5.conv1.weight", "classifier.weight", "layer3.5_mda.gate.weight")
    shown = tuple(name for name in shown if name in weights)
    return {
        "features": [features.abs().sum().item(), features[1, 7].item(), features[-1, 100].item()],
        "losses": losses,
        "gradients": {name: gradients[name].abs().sum().item() for name in shown},
        "weights": {name: weights[name].abs().sum().item() for name in shown},
    }


def stored(name: str) -> list[dict]:
    """The stored numbers of a project's steps."""
    return json.loads(GOLDEN.read_text())[name]
