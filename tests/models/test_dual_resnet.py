import math

import pytest
import torch
from torchvision import models

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models import MODELS, DualResNet, dual_resnet18, dual_resnet50


def build(loss="mso", seed=0, **options):
    torch.manual_seed(seed)
    return dual_resnet18(6, loss=loss, pretrained=False, **options)


def images_of(batch=4, seed=1, size=(64, 32)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def with_different_layer0s(model):
    """Changes the IR Layer0, as training would."""
    with torch.no_grad():
        model.layer0["ir"].conv1.weight.mul_(-0.5)
    return model


def test_only_layer0_exists_twice():
    names = set(build().state_dict())
    stem = {name.removeprefix("layer0.rgb.") for name in names if name.startswith("layer0.rgb.")}
    assert stem == {name.removeprefix("layer0.ir.") for name in names if name.startswith("layer0.ir.")}
    published = {name for name in models.resnet18().state_dict() if not name.startswith("fc.")}
    assert published == stem | {name for name in names if name.startswith("layer") and not name.startswith("layer0")}


def test_both_layer0s_start_equal_and_share_no_memory():
    model = build()
    rgb, ir = model.layer0["rgb"].conv1.weight, model.layer0["ir"].conv1.weight
    assert torch.equal(rgb, ir) and rgb.data_ptr() != ir.data_ptr()


def test_layer0_differs_by_modality_and_the_rest_is_shared():
    model = build().eval()
    images = images_of()
    assert torch.equal(model(images, 4), model(images, 0))  # equal as long as both Layer0s are
    with_different_layer0s(model)
    rgb, ir = model(images, 4), model(images, 0)
    assert not torch.allclose(rgb, ir)
    torch.testing.assert_close(model(images, 1), torch.cat([rgb[:1], ir[1:]]))
    with torch.no_grad():
        model.layer2[0].conv1.weight.mul_(0.5)
    assert not torch.allclose(model(images, 4), rgb) and not torch.allclose(model(images, 0), ir)


def test_swapping_the_modalities_changes_the_result():
    model = with_different_layer0s(build()).eval()
    images = images_of()
    swapped = torch.cat([images[2:], images[:2]])
    back = torch.cat([model(swapped, 2)[2:], model(swapped, 2)[:2]])
    assert not torch.allclose(model(images, 2), back)


def test_no_num_rgb_means_all_rgb():
    model = with_different_layer0s(build()).eval()
    assert torch.equal(model(images_of()), model(images_of(), 4))


@pytest.mark.parametrize("num_rgb", [0, 4])
def test_a_missing_modality_trains_only_the_other_layer0(num_rgb):
    model = build().train()
    before = {name: stem.bn1.running_mean.clone() for name, stem in model.layer0.items()}
    outputs = model(images_of(), num_rgb)
    logits, maps = outputs.logits, outputs.maps
    logits.sum().backward()
    present, absent = ("rgb", "ir") if num_rgb else ("ir", "rgb")
    assert maps.shape[0] == 4
    assert model.layer0[present].conv1.weight.grad is not None and model.layer0[absent].conv1.weight.grad is None
    assert not torch.equal(model.layer0[present].bn1.running_mean, before[present])
    assert torch.equal(model.layer0[absent].bn1.running_mean, before[absent])


@pytest.mark.parametrize("num_rgb", [-1, 5])
def test_num_rgb_outside_the_batch(num_rgb):
    with pytest.raises(ValueError, match="0 to the batch's 4 images"):
        build()(images_of(), num_rgb)


def test_training_returns_what_the_loss_needs():
    shapes = {
        loss: [tuple(t.shape) for t in (out if isinstance(out, tuple) else (out,))]
        for loss in ("softmax", "triplet", "mso")
        for out in [build(loss).train()(images_of(), 2)]
    }
    assert shapes["softmax"] == [(4, 6)]
    assert shapes["triplet"] == [(4, 6), (4, 512)]
    assert shapes["mso"] == [(4, 6), (4, 512), (4, 512), (4, 64, 16, 8), (4, 512, 4, 2)]


def test_triplet_features_are_those_after_bn():
    logits, features = build("triplet").train()(images_of(8), 4)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(512), atol=1e-5, rtol=0)
    model = build("triplet").train()
    logits, features = model(images_of(8), 4)
    torch.testing.assert_close(logits, features @ model.classifier.weight.T)


def test_evaluation_returns_bn_of_the_pooled_feature():
    model = build().train()
    model(images_of(8), 4)  # changes BN's statistics from their initial values
    model.eval()
    pooled, features = model.embed(images_of(), 2)
    bn = model.bottleneck
    naive = (pooled - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight
    torch.testing.assert_close(features, naive)
    assert torch.equal(model(images_of(), 2), features)
    maps = model(images_of(), 2, return_featuremaps=True)
    torch.testing.assert_close(pooled, maps.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3))


def test_maps_at_the_patent_size():
    images = images_of(2, size=(288, 144))
    model = build().train()
    assert model(images, 1).maps.shape == (2, 64, 72, 36)
    assert model(images, 1, return_featuremaps=True).shape == (2, 512, 18, 9)
    assert build(last_stride=2)(images, 1, return_featuremaps=True).shape == (2, 512, 9, 5)


def test_last_stride_of_a_bottleneck():
    torch.manual_seed(0)
    images = images_of(2)
    one, two = (dual_resnet50(3, pretrained=False, last_stride=stride).eval() for stride in (1, 2))
    assert one(images, return_featuremaps=True).shape == (2, 2048, 4, 2)
    assert two(images, return_featuremaps=True).shape == (2, 2048, 2, 1)
    assert one(images).shape == (2, 2048) and one.feature_dim == 2048


def test_stream_is_the_model_for_one_modality():
    model = with_different_layer0s(build()).eval()
    for modality, num_rgb in ((RGB, 4), (IR, 0)):
        view = model.stream(modality)
        assert torch.equal(view(images_of()), model(images_of(), num_rgb))
        maps = view(images_of(), return_featuremaps=True)
        assert maps.shape == (4, 512, 4, 2)
        assert torch.equal(maps, model(images_of(), num_rgb, return_featuremaps=True))


def test_stream_shares_weights_and_mode():
    model = build()
    view = model.stream(IR)
    assert {id(p) for p in view.parameters()} == {id(p) for p in model.parameters()}
    assert view.training
    view.eval()
    assert not model.training and not model.stream(RGB).training
    view.train()
    assert model.bottleneck.training
    with pytest.raises(ValueError, match="choose 0"):
        model.stream(2)


def test_bottleneck_has_no_bias_to_train():
    model = build().train()
    for parameter in model.parameters():  # torchreid does this at every epoch
        parameter.requires_grad = True
    assert model.bottleneck.bias is None
    assert "bottleneck.bias" not in model.state_dict() and "classifier.bias" not in model.state_dict()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    outputs = model(images_of(), 2)
    logits, features = outputs.logits, outputs.features
    (logits.sum() + features.square().sum()).backward()
    optimizer.step()
    torch.testing.assert_close(model(images_of(), 2).features.mean(dim=0), torch.zeros(512), atol=1e-4, rtol=0)


def test_checkpoint_contains_only_the_model():
    parts = {name.split(".")[0] for name in build().state_dict()}
    assert parts == {"layer0", "layer1", "layer2", "layer3", "layer4", "gem", "bottleneck", "classifier"}
    model, other = with_different_layer0s(build()), build(seed=9)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(images_of(), 2), model.eval()(images_of(), 2))


def test_bf16_autocast_is_finite():
    model = build().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(images_of(), 2)
    logits, features, maps = outputs.logits, outputs.features, outputs.maps
    (logits.float().sum() + features.sum() + maps.float().sum()).backward()
    assert features.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_channels_last_gives_the_same():
    model = with_different_layer0s(build()).eval()
    plain = model(images_of(), 2)
    model.to(memory_format=torch.channels_last)
    images = images_of().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images, 2), plain, rtol=1e-3, atol=1e-4)


def test_unknown_options():
    with pytest.raises(ValueError, match="loss 'center' is unknown"):
        build("center")
    with pytest.raises(ValueError, match="last stride is 3"):
        build(last_stride=3)


BLOCKS = {"dual_resnet18": 8, "dual_resnet34": 16, "dual_resnet50": 16, "dual_resnet101": 33, "dual_resnet50_ibn_a": 16}


@pytest.mark.parametrize("name", BLOCKS)
def test_factories_build_as_torchreid_calls_them(name):
    model = MODELS[name](num_classes=3, loss="softmax", pretrained=False, use_gpu=False)
    blocks = sum(len(layer) for layer in (model.layer1, model.layer2, model.layer3, model.layer4))
    assert isinstance(model, DualResNet) and model.name == name and set(BLOCKS) <= set(MODELS)
    assert model.feature_dim == (512 if name in ("dual_resnet18", "dual_resnet34") else 2048)
    assert blocks == BLOCKS[name]
    assert model.classifier.weight.std().item() == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("name", ["dual_resnet101", "dual_resnet50_ibn_a"])
def test_a_deeper_backbone_has_the_same_parts(name):
    torch.manual_seed(0)
    model = MODELS[name](3, loss="mso", pretrained=False)
    rgb, ir = model.layer0["rgb"].state_dict(), model.layer0["ir"].state_dict()
    assert rgb.keys() == ir.keys() and all(torch.equal(value, ir[key]) for key, value in rgb.items())
    assert not {p.data_ptr() for p in model.layer0["rgb"].parameters()} & {
        p.data_ptr() for p in model.layer0["ir"].parameters()
    }
    outputs = model.train()(images_of(), 2)
    logits, features, maps = outputs.logits, outputs.features, outputs.maps
    assert (logits.shape, features.shape, maps.shape) == ((4, 3), (4, 2048), (4, 64, 16, 8))
    (logits.sum() + features.square().sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    model.eval()
    assert model(images_of(), return_featuremaps=True).shape == (4, 2048, 4, 2)  # last stride 1
    alike = model(images_of(), 4)
    with_different_layer0s(model)
    model.layer0["ir"].bn1.load_state_dict(model.layer0["rgb"].bn1.state_dict())
    rgb_features, ir_features = model(images_of(), 4), model(images_of(), 0)
    assert torch.equal(rgb_features, alike) and not torch.allclose(ir_features, rgb_features)
    torch.testing.assert_close(
        model(images_of(), 1), torch.cat([rgb_features[:1], ir_features[1:]]), atol=1e-4, rtol=1e-4
    )
    with torch.no_grad():
        model.layer4[0].conv1.weight.mul_(0.5)  # shared: both change
    assert not torch.allclose(model(images_of(), 4), rgb_features) and not torch.allclose(
        model(images_of(), 0), ir_features
    )


@pytest.mark.parametrize("name", ["dual_resnet101", "dual_resnet50_ibn_a"])
def test_last_stride_of_a_deeper_backbone(name):
    model = MODELS[name](3, pretrained=False, last_stride=2).eval()
    assert model(images_of(2), return_featuremaps=True).shape == (2, 2048, 2, 1) and model.last_stride == 2


def test_ibn_a_normalizes_half_of_the_channels_image_by_image():
    """In Layers 1-3, the first normalization of each block: the paper's figure; the stem and Layer4 are ResNet-50's."""
    torch.manual_seed(0)
    model = MODELS["dual_resnet50_ibn_a"](3, pretrained=False).eval()
    for layer in (model.layer1, model.layer2, model.layer3):
        for block in layer:
            maps = torch.randn(3, block.conv1.out_channels, 6, 4) * 5 + 2
            first = maps[:, : maps.shape[1] // 2]
            mean, variance = first.mean((2, 3), keepdim=True), first.var((2, 3), keepdim=True, unbiased=False)
            naive = torch.cat(
                [(first - mean) / (variance + 1e-5).sqrt(), maps[:, maps.shape[1] // 2 :] / math.sqrt(1 + 1e-5)], 1
            )
            torch.testing.assert_close(block.bn1(maps), naive, atol=1e-4, rtol=1e-4)
    others = [*model.layer4, *(block for layer in (model.layer1, model.layer2, model.layer3) for block in layer)]
    norms = (
        [block.bn1 for block in model.layer4]
        + [block.bn2 for block in others]
        + [stem.bn1 for stem in model.layer0.values()]
    )
    assert all(isinstance(norm, torch.nn.BatchNorm2d) for norm in norms)


def test_one_stem_sees_both_modalities_as_one_batch():
    torch.manual_seed(0)
    model = DualResNet(models.resnet18(), 3, "mso", shared_stem=True)
    images = torch.randn(6, 3, 32, 16)
    with torch.no_grad():
        outputs = model(images, num_rgb=4)
        stem = model.layer0["rgb"]
        torch.testing.assert_close(outputs.maps, stem(images))  # statistics over all images
        assert not torch.equal(outputs.maps[:4], stem(images[:4]))
    assert sum("layer0" in name for name, _ in model.named_parameters()) == 3
    assert model.eval().state_dict().keys() == dual_resnet18(3, pretrained=False).state_dict().keys()
