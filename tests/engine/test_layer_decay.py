import pytest
import torch

from torchreid_rgbir.engine.layer_decay import decay_by_depth
from torchreid_rgbir.models import MODELS, dual_resnet18


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_the_learning_rate_falls_by_one_factor_from_layer_to_layer(name):
    pytest.importorskip("timm")
    model = MODELS[f"timm/{name}"](6, pretrained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    decay_by_depth(optimizer, model, 0.5)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    names = {id(value): key for key, value in model.named_parameters()}
    rates = {names[id(value)]: group["lr"] for group in optimizer.param_groups for value in group["params"]}
    layers = sorted(set(rates.values()))
    assert layers == [0.5**power for power in range(len(layers) - 1, -1, -1)]
    assert rates["classifier.weight"] == rates["bottleneck.weight"] == 1
    assert {rates[key] for key in rates if key.startswith("layer0.")} == {layers[0]}
    if name == "test_vit":
        assert rates["trunk.blocks.1.attn.qkv.weight"] == 2 * rates["trunk.blocks.0.attn.qkv.weight"]
        assert rates["trunk.pos_embed"] == layers[0]


def test_the_learning_rate_falls_in_resnets_too():
    model = dual_resnet18(3, pretrained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    decay_by_depth(optimizer, model, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5, 1]
