"""AGW's network: the non-local block against the loops of its definition, the places of the blocks, and its initial weights."""

import pytest
import torch
from torch import nn

from torchreid_rgbir.models import FixedGeM, NonLocal, agw_resnet50, dual_resnet50


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return agw_resnet50(7, loss="mso", pretrained=False)


def test_a_non_local_block_is_its_definition():
    torch.manual_seed(0)
    block = NonLocal(5).double().eval()
    nn.init.normal_(block.bn.weight)
    nn.init.normal_(block.bn.bias)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    rows = x.flatten(2)  # (B, C, N)
    theta, phi, g = (
        (rows * conv.weight.view(1, 5, 1)).sum(1) + conv.bias for conv in (block.theta, block.phi, block.g)
    )  # (B, N)
    y = torch.zeros(2, 12, dtype=torch.float64)
    for image in range(2):
        for i in range(12):
            for j in range(12):
                y[image, i] += theta[image, i] * phi[image, j] * g[image, j] / 12
    w = block.W.weight.view(1, 5, 1) * y[:, None] + block.W.bias.view(1, 5, 1)
    added = w / (1 + block.bn.eps) ** 0.5 * block.bn.weight.view(1, 5, 1) + block.bn.bias.view(1, 5, 1)
    torch.testing.assert_close(block(x), x + added.unflatten(2, (3, 4)))


def test_a_new_non_local_block_changes_nothing_and_learns(model):
    block = NonLocal(5)
    x = torch.randn(2, 5, 3, 4)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.bn.weight.grad.abs().max() > 0


def test_five_blocks_at_the_authors_places(model):
    places = [name for name, module in model.named_modules() if isinstance(module, NonLocal)]
    assert places == [f"layer2.{i}_non_local" for i in (2, 3)] + [f"layer3.{i}_non_local" for i in (3, 4, 5)]
    order = [name for name, _ in model.layer2.named_children()]
    assert order == ["0", "1", "2", "2_non_local", "3", "3_non_local"]
    plain = {name for name in dual_resnet50(7, pretrained=False).state_dict() if name != "gem.p"}
    assert plain == {name for name in model.state_dict() if "non_local" not in name}


def test_initial_weights(model):
    weight = model.bottleneck.weight
    assert abs(weight.mean() - 1) < 0.001 and 0.009 < weight.std() < 0.011
    assert 0.0009 < model.classifier.weight.std() < 0.0011


def test_fixed_gem_has_no_parameter_and_a_finite_gradient_at_zero():
    pool = FixedGeM()
    assert not list(pool.parameters())
    maps = torch.tensor([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]]).view(1, 2, 2, 2).requires_grad_()
    pooled = pool(maps)
    torch.testing.assert_close(pooled, torch.tensor([[(36 / 4) ** (1 / 3), 1e-4]]))
    pooled.sum().backward()
    assert maps.grad.isfinite().all()
    assert pool(maps.half()).dtype == torch.float32
