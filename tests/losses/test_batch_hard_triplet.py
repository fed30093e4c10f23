"""The batch-hard triplet loss on pooled features against a loop and LuckyDC's code."""

import pytest
import torch

from torchreid_rgbir.losses.batch_hard_triplet import batch_hard_triplet_pooled_loss
from torchreid_rgbir.models import Batch, Outputs


def outputs_of(pooled):
    nothing = torch.empty(0)
    return Outputs(logits=nothing, features=nothing, pooled=pooled, maps=nothing, featuremaps=nothing)


@pytest.mark.parametrize("margin", [0.0, 0.3, 5.0])
def test_equals_the_loop(margin):
    pooled = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pids = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
    dist = [[float((a - b).norm()) for b in pooled] for a in pooled]
    total = 0.0
    for i, row in enumerate(dist):
        farthest = max(d for d, pid in zip(row, pids, strict=True) if pid == pids[i])
        nearest = min(d for d, pid in zip(row, pids, strict=True) if pid != pids[i])
        total += max(0.0, margin + farthest - nearest)
    loss = batch_hard_triplet_pooled_loss(outputs_of(pooled), Batch(pooled, pids, 6, 3), margin)
    assert loss.item() == pytest.approx(total / 12, rel=1e-9) and (loss > 0 or not margin)


def test_the_value_and_the_gradient_of_luckydcs_code():
    # From LuckyDC/RGB-IR-ReID-Baseline at commit 49801f8, in double precision.
    i = torch.arange(12, dtype=torch.float64)[:, None]
    pooled = torch.sin(i * 1.3 + torch.arange(8) * 0.7 + i * torch.arange(8) * 0.11).requires_grad_()
    pids = torch.tensor([0, 0, 1, 1, 2, 2] * 2)
    loss = batch_hard_triplet_pooled_loss(outputs_of(pooled), Batch(pooled, pids, 6, 3), 0.3)
    loss.backward()
    assert loss.item() == pytest.approx(1.4647808935976265, rel=1e-12)
    assert pooled.grad.norm().item() == pytest.approx(0.6641114572285217, rel=1e-12)
