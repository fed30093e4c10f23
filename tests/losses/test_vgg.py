import logging

import pytest
import torch
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from torchreid_rgbir.losses.vgg import VGGStages, min_max


def maps_of(seed, channels=64, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, 16, 16, generator=generator, dtype=torch.float64) * 3 + 1


def random(entry):
    return VGGStages(entry, "random").double()


def test_taps_of_each_entry():
    shapes = {entry: [tuple(t.shape) for t in random(entry)(maps_of(0))] for entry in ("image", "conv2")}
    assert shapes["image"] == [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]
    assert shapes["conv2"] == [(2, 128, 16, 16), (2, 256, 8, 8), (2, 512, 4, 4), (2, 512, 2, 2)]


@pytest.mark.parametrize(("entry", "convs"), [("image", [2, 4, 7, 10]), ("conv2", [2, 5, 8, 11])])
def test_a_stage_ends_after_the_last_relu_of_a_block(entry, convs):
    vgg, seen = random(entry), 1
    for stage, expected in zip(vgg.stages, convs, strict=True):
        seen += sum(isinstance(layer, nn.Conv2d) for layer in stage)
        assert seen == expected and isinstance(stage[-1], nn.ReLU)


def test_no_tap_is_overwritten_by_a_later_stage():
    vgg = random("image")
    taps = vgg(maps_of(1))
    again = vgg.first(vgg.enter(maps_of(1)))
    for stage, tap in zip(vgg.stages, taps, strict=True):
        again = stage(again.clone())
        assert torch.equal(tap, again) and tap.min() == 0


@pytest.mark.parametrize(("entry", "channels"), [("conv2", 64), ("image", 3)])
def test_one_channel_is_its_repetition(entry, channels):
    vgg = VGGStages(entry, "random")
    edges = maps_of(2, channels=1).float()
    for folded, unfolded in zip(vgg(edges), vgg(edges.repeat(1, channels, 1, 1)), strict=True):
        torch.testing.assert_close(folded, unfolded, rtol=1e-5, atol=1e-5)


def test_image_entry_is_the_normalized_gray_image():
    vgg = random("image")
    entered = vgg.enter(maps_of(3))
    gray = entered * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) + torch.tensor([0.485, 0.456, 0.406]).view(
        1, 3, 1, 1
    )
    for image, maps in zip(gray, maps_of(3), strict=True):
        mean = sum(maps) / len(maps)
        expected = (mean - mean.min()) / (mean.max() - mean.min())
        for channel in image:
            torch.testing.assert_close(channel, expected, rtol=1e-6, atol=1e-6)


def test_min_max_is_over_the_whole_map_of_each_image():
    maps = maps_of(4)
    for scaled, one in zip(min_max(maps), maps, strict=True):
        torch.testing.assert_close(scaled, (one - one.min()) / (one.max() - one.min()))
    torch.testing.assert_close(min_max(maps * 7 - 3), min_max(maps))


def test_a_constant_map_becomes_zero_without_gradient():
    maps = torch.full((1, 2, 3, 3), 4.0, requires_grad=True)
    scaled = min_max(maps)
    (scaled * torch.arange(9.0).view(3, 3)).sum().backward()
    assert scaled.abs().max() == 0 and maps.grad.abs().max() == 0


def test_min_max_gradient():
    assert torch.autograd.gradcheck(min_max, maps_of(5, channels=2)[:, :, :3, :3].requires_grad_())


def test_random_weights_are_always_the_same_and_use_no_random_numbers_of_the_run(caplog):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with caplog.at_level(logging.WARNING):
        first = VGGStages("conv2", "random")
    assert torch.equal(torch.rand(3), expected)
    assert "random VGG-16" in caplog.text
    torch.manual_seed(6)
    assert torch.equal(first.first.weight, VGGStages("conv2", "random").first.weight)


def test_random_weights_keep_the_size_of_the_responses():
    deviations = [tap.std().item() for tap in random("image")(maps_of(6))]
    assert all(0.01 < deviation < 1 for deviation in deviations)


@pytest.mark.parametrize("entry", ["image", "conv2"])
def test_imagenet_weights_reach_their_layers(entry, tmp_path, monkeypatch):
    torch.manual_seed(1)
    published = make_layers(cfgs["D"])
    state = {f"features.{name}": value for name, value in published.state_dict().items()}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(
        {**state, "classifier.0.weight": torch.zeros(2, 2)}, folder / VGG16_Weights.IMAGENET1K_V1.url.split("/")[-1]
    )
    vgg = VGGStages(entry)
    maps = maps_of(7).float()
    expected = vgg.enter(maps)
    ends = {"image": (3, 8, 15, 22), "conv2": (8, 15, 22, 29)}[entry]  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
    taps = []
    for index in range(0 if entry == "image" else 5, 30):
        expected = published[index](expected)
        if index in ends:
            taps.append(expected.clone())
    for tap, reference in zip(vgg(maps), taps, strict=True):
        torch.testing.assert_close(tap, reference, rtol=1e-4, atol=1e-5)


def test_missing_imagenet_weights_name_the_setting_that_avoids_them(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionResetError("no network in this test")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(FileNotFoundError, match="vgg16-397923af.pth.*loss.pef.weights random"):
        VGGStages()


def test_unknown_names():
    with pytest.raises(ValueError, match="entry 'conv1'"):
        VGGStages("conv1", "random")
    with pytest.raises(FileNotFoundError, match="VGG weights none are missing: give imagenet, random, or the path"):
        VGGStages("image", "none")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_weights_of_a_file(tmp_path, batch_norm):
    torch.manual_seed(0)
    layers = make_layers(cfgs["D"], batch_norm).eval()
    path = tmp_path / "vgg.pth"
    torch.save({"state_dict": nn.ModuleDict({"features": layers, "classifier": nn.Linear(2, 3)}).state_dict()}, path)
    vgg, maps = VGGStages("image", str(path)), maps_of(2).float()
    taps = vgg(maps)
    expected, found = vgg.enter(maps), []
    for layer in layers:
        expected = layer(expected)
        if isinstance(layer, nn.MaxPool2d):
            break
        found.append(expected)
    torch.testing.assert_close(taps[0], found[-1])
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_a_file_of_a_different_network_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(nn.ModuleDict({"features": make_layers(cfgs["A"])}).state_dict(), path)
    with pytest.raises(ValueError, match=r"other.pth does not contain the weights of a VGG-16"):
        VGGStages("image", str(path))
    with pytest.raises(FileNotFoundError, match=r"missing.pth are missing"):
        VGGStages("image", str(tmp_path / "missing.pth"))
