"""MCJA's network: the adapter against the authors' code, the places of the adapters, and the one stream."""

import pytest
import torch
from torch import nn

from torchreid_rgbir.models import MDA, mcja_resnet50, mcja_resnet50_m12


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return mcja_resnet50(7, loss="mso", pretrained=False)


def test_the_values_and_gradients_of_the_authors_adapter():
    # From workingcoder/MCJA at commit efc1ffe, in double precision.
    block = MDA(6, 2).double()
    for index, (_, tensor) in enumerate(block.named_parameters()):
        tensor.data.copy_(torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.37 + index).view_as(tensor))
    maps = torch.sin(torch.arange(360, dtype=torch.float64) * 0.23).view(4, 6, 5, 3).requires_grad_()
    found = block(maps)
    (found * torch.cos(torch.arange(360) * 0.31).view_as(found)).sum().backward()
    values = (found.sum(), found.norm(), found[1, 2, 3, 1], maps.grad.norm(), block.attention.weight.grad.norm())
    expected = (176.88941817677798, 18.006620137563544, 0.022795605741017688, 12.54923289170531, 1.4427455050657887)
    assert [value.item() for value in values] == pytest.approx(expected, rel=1e-10)
    assert block.eval()(maps).norm().item() == pytest.approx(17.853314435948057, rel=1e-10)


def test_a_new_adapter_changes_nothing_and_learns():
    block, maps = MDA(5, 2), torch.randn(3, 5, 4, 2)
    assert torch.equal(block(maps), maps)
    block(maps).square().sum().backward()
    assert block.norm.weight.grad.abs().max() > 0


@pytest.mark.parametrize(("factory", "num"), [(mcja_resnet50, 2), (mcja_resnet50_m12, 12)])
def test_five_adapters_at_the_authors_places(factory, num):
    with torch.device("meta"):
        model = factory(7, pretrained=False)
    found = {name: module for name, module in model.named_modules() if isinstance(module, MDA)}
    assert list(found) == [f"layer2.{i}_mda" for i in (2, 3)] + [f"layer3.{i}_mda" for i in (3, 4, 5)]
    assert {module.attention.out_channels for module in found.values()} == {num}
    assert (model.name, model.last_stride) == (factory.__name__, 2)


def test_the_modalities_share_the_stem_and_its_normalization(model):
    assert model.layer0["rgb"] is model.layer0["ir"]
    images = torch.randn(6, 3, 64, 32)
    outputs = [model.train()(images, num_rgb) for num_rgb in (6, 2)]
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one, other)


def test_the_classifier_has_pytorchs_initial_weights(model):
    bound = 2048**-0.5  # of nn.Linear
    assert 0.99 * bound < model.classifier.weight.abs().max() <= bound
    assert torch.equal(model.bottleneck.weight, torch.ones(2048))
    assert isinstance(model.classifier, nn.Linear)
