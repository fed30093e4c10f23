import pytest
import torch
from torch import nn
from torchvision.models import vgg16_bn as published

from torchreid_rgbir import host
from torchreid_rgbir.models.vgg import folded, vgg16_bn


def with_statistics(model, seed=0):
    """Gives the batch normalizations weights and statistics as after a training."""
    torch.manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.weight.data, layer.bias.data):
                values.normal_()
            layer.running_var.uniform_(0.5, 2)
    return model.double().eval()


def test_it_is_the_published_network():
    model, network = with_statistics(vgg16_bn(5)), published().double().eval()
    network.features.load_state_dict(model.features.state_dict())
    images = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    assert torch.equal(model(images), network.features(images).mean(dim=(2, 3)))


def test_training_returns_what_torchreids_losses_take():
    images = torch.randn(2, 3, 32, 32)
    model = host.models.build_model("vgg16_bn", num_classes=7, loss="softmax", pretrained=False)
    assert model(images).shape == (2, 7) and model.eval()(images).shape == (2, model.feature_dim)
    logits, features = vgg16_bn(7, "triplet")(images)
    assert logits.shape == (2, 7) and features.shape == (2, 512)
    with pytest.raises(ValueError, match="loss 'mso' is unknown: choose softmax or triplet"):
        vgg16_bn(7, "mso")


def test_folding_changes_no_result():
    features = with_statistics(vgg16_bn(5)).features
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    merged = folded(features)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in merged) and len(merged) == 31
    torch.testing.assert_close(merged(images), features(images), rtol=1e-12, atol=1e-12)
