import subprocess
import sys

import pytest
import torch

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import OPTIONS, build_model
from torchreid_rgbir.models.sync_batchnorm import synchronize
from torchreid_rgbir.models.timm_factory import CURATED, create

timm = pytest.importorskip("timm")

# The smallest network of each family, and the size of its images.
SMALLEST = {
    "test_vit": (128, 64),
    "deit_tiny_distilled_patch16_224": (128, 64),
    "vit_small_patch14_reg4_dinov2": (112, 56),
    "vit_xsmall_patch16_clip_224": (128, 64),
    "test_convnext": (64, 32),
    "test_efficientnet": (64, 32),
    "mobilenetv3_small_050": (64, 32),
    "test_resnet": (64, 32),
}
TRANSFORMERS = [name for name in SMALLEST if "vit" in name or "deit" in name]
CONVOLUTIONAL = [name for name in SMALLEST if name not in TRANSFORMERS]


def build(name, size=None, loss="mso", seed=0, **options):
    torch.manual_seed(seed)
    model = MODELS[f"timm/{name}"](6, loss=loss, pretrained=False, **options)
    model.set_image_size(*(size or SMALLEST[name]))
    return model


def images_of(name, batch=4, seed=1):
    return torch.randn(batch, 3, *SMALLEST[name], generator=torch.Generator().manual_seed(seed))


def with_different_layer0s(model):
    """Changes the IR Layer0, as training would."""
    with torch.no_grad():
        next(model.layer0["ir"].parameters()).mul_(-0.5)
    return model


@pytest.mark.parametrize("name", SMALLEST)
def test_the_streams_together_are_timms_network(name):
    """timm's own network with the same weights gives the same last maps, or tokens, whichever stream an image takes."""
    torch.manual_seed(0)
    size = SMALLEST[name]
    single = create(name, **({"img_size": size, "dynamic_img_size": False} if name in TRANSFORMERS else {})).eval()
    images = images_of(name)
    expected = single.forward_features(images)
    stride = {} if name in TRANSFORMERS else {"last_stride": 2}
    model = build(name, **stride).eval()
    published = single.state_dict()
    beginning = ("patch_embed.", "stem.", "conv_stem.", "bn1.", "conv1.")
    weights = {}
    for key, value in model.state_dict().items():
        inner = key.removeprefix("trunk.")
        for stream in ("rgb", "ir"):
            inner = inner.removeprefix(f"layer0.{stream}.").replace("embed.proj", "patch_embed.proj")
        weights[key] = (
            published[inner] if inner in published and not key.startswith(("bottleneck", "classifier")) else value
        )
    own = {key for key in model.state_dict() if key.startswith("layer0.rgb.")}
    assert len(own) == len([key for key in published if key.startswith(beginning)])
    model.load_state_dict(weights)
    for num_rgb in (4, 1, 0):
        maps = model(images, num_rgb, return_featuremaps=True)
        if expected.dim() == 3:
            tokens = expected[:, single.num_prefix_tokens :].transpose(1, 2)
            torch.testing.assert_close(maps.flatten(2), tokens, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(model.embed(images, num_rgb)[0], expected[:, 0], atol=1e-4, rtol=1e-4)
        else:
            torch.testing.assert_close(maps, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALLEST)
def test_only_the_beginning_differs_between_the_streams(name):
    model = build(name).eval()
    images = images_of(name)
    torch.testing.assert_close(model(images, 4), model(images, 0))
    with_different_layer0s(model)
    rgb, ir = model(images, 4), model(images, 0)
    assert not torch.allclose(rgb, ir)
    torch.testing.assert_close(model(images, 1), torch.cat([rgb[:1], ir[1:]]), atol=1e-4, rtol=1e-4)
    assert torch.equal(model.stream(RGB)(images), rgb) and torch.equal(model.stream(IR)(images), ir)


@pytest.mark.parametrize("name", SMALLEST)
def test_every_parameter_is_trained(name):
    model = build(name).train()
    outputs = model(images_of(name), 2)
    (outputs.logits.sum() + outputs.features.square().sum()).backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []
    assert outputs.maps.shape == (4, *model.layer0_shape(*SMALLEST[name]))
    assert outputs.features.shape == (4, model.feature_dim) and outputs.featuremaps.shape[1] == model.feature_dim


@pytest.mark.parametrize("name", ["test_efficientnet", "mobilenetv3_small_050"])  # SiLU; Hardswish
def test_training_copies_no_maps_before_an_activation(name):
    model, images = build(name).train(), images_of(name)
    with torch.profiler.profile() as profiler:
        model(images, 2)
    assert "aten::clone" not in {event.key for event in profiler.key_averages()}


def test_bf16_autocast_gives_features_in_single_precision():
    for name in ("test_vit", "test_convnext", "test_resnet"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = build(name).train()(images_of(name), 2)
        assert outputs.pooled.dtype == outputs.features.dtype == torch.float32, name


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_last_stride_1_doubles_the_last_maps(name):
    maps = {stride: build(name, last_stride=stride)(images_of(name), 2, True).shape[2:] for stride in (1, 2)}
    assert maps[2] == (2, 1) and maps[1] == (4, 2)


def test_pooling_is_what_its_name_says():
    images = images_of("test_vit")
    features = {}
    for pooling in ("token", "mean", "gem"):
        model = build("test_vit", pooling=pooling).eval()
        maps = model(images, 2, return_featuremaps=True)
        features[pooling] = model.embed(images, 2)[0]
        assert model.options["pooling"] == pooling
    torch.testing.assert_close(features["mean"], maps.flatten(2).mean(2))
    torch.testing.assert_close(features["gem"], maps.clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3))
    assert not torch.allclose(features["token"], features["mean"])
    chosen = {name: build(name).pooling for name in ("test_vit", "test_convnext", "test_resnet", "test_efficientnet")}
    assert chosen == {"test_vit": "token", "test_convnext": "mean", "test_resnet": "gem", "test_efficientnet": "gem"}


def test_position_embeddings_are_resampled_for_the_images():
    torch.manual_seed(0)
    single = create("test_vit")
    model = MODELS["timm/test_vit"](6, pretrained=False)
    native = single.pos_embed.detach()
    with torch.no_grad():
        model.set_image_size(160, 160)  # the network's own size
        model.trunk.pos_embed.copy_(native)
    model.set_image_size(256, 128)
    expected = timm.layers.resample_abs_pos_embed(native, [16, 8], [10, 10], num_prefix_tokens=1)
    assert torch.equal(model.trunk.pos_embed, expected) and model.trunk.pos_embed.requires_grad
    assert MODELS["timm/vit_small_patch14_reg4_dinov2"](6, pretrained=False).layer0_shape(280, 140)[1:] == (20, 10)


@pytest.mark.parametrize("name", CURATED)
def test_curated_networks_are_built_as_torchreid_calls_them(name):
    with torch.device("meta"):
        model = MODELS[name](num_classes=3, loss="softmax", pretrained=False, use_gpu=False)
    assert model.name == name and model.classifier.out_features == 3
    assert model.set_image_size(*((280, 140) if "dinov2" in name else (256, 128))) is None


def test_synchronized_normalization_keeps_the_activation(monkeypatch):
    """timm's BatchNormAct2d includes it. With one process nothing else changes."""
    monkeypatch.setattr("torchreid_rgbir.distributed.total", lambda values: values)
    images = images_of("test_efficientnet")
    expected = build("test_efficientnet").train()(images, 2)
    found = synchronize(build("test_efficientnet"), torch.device("cpu")).train()(images, 2)
    torch.testing.assert_close(found.maps, expected.maps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.pooled, expected.pooled, atol=1e-3, rtol=1e-3)


def test_drop_path_reaches_the_blocks():
    rates = [module.drop_prob for module in build("test_vit", drop_path=0.3).modules() if hasattr(module, "drop_prob")]
    assert max(rates) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: MODELS["timm/vit_smal_patch16_224"](3),
            r"no network vit_smal_patch16_224: choose .*timm/vit_small_patch16_224",
        ),
        (lambda: build("vgg11", (64, 32)), r"vgg11 has no beginning that can be split.*EfficientNet and MobileNet"),
        (
            lambda: build("test_vit", (250, 128)),
            "data.height is 250.*patches of 16 pixels: set data.height to 240 or 256",
        ),
        (lambda: build("test_vit", (256, 8)), "data.width is 8.*set data.width to 16"),
        (lambda: build("test_vit", (256, 128))(torch.zeros(2, 3, 128, 64)), r"call set_image_size\(128, 64\)"),
        (lambda: build("test_vit", last_stride=2), "no strided last stage: set it to 1"),
        (lambda: build("test_resnet", last_stride=3), "choose 1 or 2"),
        (lambda: build("test_resnet", pooling="token"), "no class token: choose mean or gem"),
        (lambda: build("test_resnet", pooling="max"), "pooling 'max' is unknown"),
        (lambda: build("test_maxvit", (256, 128)), "cannot process images of 256 x 128 pixels .*divisible"),
        (
            lambda: build_model("dual_resnet18", 3, "mso", False, OPTIONS | {"pooling": "mean"}, (64, 32)),
            "model.pooling is not available for dual_resnet18",
        ),
    ],
)
def test_what_cannot_be_built_says_what_to_choose(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_importing_the_package_does_not_import_timm():
    code = "import sys, torchreid_rgbir; assert 'timm/resnet18' in torchreid_rgbir.MODELS; assert 'timm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
