"""Complete runs of two-stream networks from timm: ten steps, a resumed run, its export and its features."""

from functools import partial

import pytest
import torch

from torchreid_rgbir import config, host, register_timm
from torchreid_rgbir.export import export
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.retrieval import Extractor
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.visual.activation import activation_maps
from torchreid_rgbir.visual.samples import read_samples

pytest.importorskip("timm")

# The smallest network of each family, and the size of its images.
FAMILIES = {
    "timm/test_vit": (128, 128),
    "timm/vit_small_patch14_reg4_dinov2": (112, 56),
    "timm/vit_xsmall_patch16_clip_224": (128, 64),
    "timm/test_convnext": (64, 32),
    "timm/test_efficientnet": (64, 32),
    "timm/test_resnet": (64, 32),
}


def configured(cfg, name, **changes):
    height, width = FAMILIES[name]
    # VGG needs 8 x 8 maps, which the first of these transformers has.
    pef = 0.0 if name in ("timm/vit_small_patch14_reg4_dinov2", "timm/vit_xsmall_patch16_clip_224") else 1.0
    pairs = {
        "model.name": name,
        "model.last_stride": 1,
        "model.drop_path": 0.1,
        "data.height": height,
        "data.width": width,
        "sampler.batches_per_epoch": 5,
        "loss.mso.weight_pef": pef,
        "train.layer_decay": 0.8,
        "train.ema": 0.9,
        "train.lr": 1e-3,
    }
    return config.override(
        cfg.clone(), [word for key, value in (pairs | changes).items() for word in (key, str(value))]
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_trains_ten_steps_resumes_exactly_and_exports(name, tiny_cfg, tmp_path, sysu_root):
    pytest.importorskip("onnxruntime")
    engine = train(configured(tiny_cfg, name))
    result = engine.results["sysu_mm01"]["settings"][0]["mean"]
    assert engine.epoch * engine.num_batches + engine.batches_done == 10 and 0 < result["mAP"] <= 1
    first = tmp_path / "run" / "model" / "model.pth.tar-1"

    resumed = train(configured(tiny_cfg, name, **{"model.resume": first, "data.save_dir": tmp_path / "resumed"}))
    ours, theirs = engine.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())

    model, about = load_model(engine.checkpoint_path)
    assert about["model"]["name"] == name and about["model"]["pooling"] == model.pooling
    images = sorted(str(path) for path in (sysu_root / "cam3").rglob("*.jpg"))[:2]
    samples = read_samples(images, IR, about["images"])
    assert activation_maps(model, samples).shape == (2, *FAMILIES[name])
    features = Extractor.load(engine.checkpoint_path)(images, "ir", normalize=False)
    assert torch.allclose(torch.from_numpy(features), model(samples.inputs, 0), atol=1e-4)

    differences = export(engine.checkpoint_path, tmp_path / "exported", images)
    assert max(differences.values()) <= 1e-4
    assert not (tmp_path / "exported" / "model.safetensors").exists()


def test_maps_that_vgg_cannot_take_are_refused(tiny_cfg):
    with pytest.raises(ValueError, match="4 x 2 pixels.*set data.height to 128 or more and data.width to 128 or more"):
        train(configured(tiny_cfg, "timm/test_vit", **{"data.height": 64, "data.width": 32}))
    with pytest.raises(ValueError, match="conv2, which takes maps of 64 channels.*gives 24: set loss.pef.entry image"):
        train(configured(tiny_cfg, "timm/test_convnext", **{"loss.pef.entry": "conv2"}))


def test_the_compiled_backbone_is_the_same(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # the graph without its C++ code
    model = MODELS["timm/test_vit"](3, pretrained=False).eval()
    images = torch.randn(4, 3, 256, 128)
    expected = model(images, 2)
    model.compile_backbone()
    torch.testing.assert_close(model(images, 2), expected, atol=1e-4, rtol=1e-4)


def test_torchreids_extractor_takes_the_size_of_the_images_from_the_checkpoint(tiny_cfg, own_parts, sysu_root):
    assert register_timm("test_vit") == register_timm("test_vit") == "dual_test_vit"
    checkpoint = train(configured(tiny_cfg, "timm/test_vit", **{"model.name": "dual_test_vit"})).checkpoint_path
    images = sorted(str(path) for path in (sysu_root / "cam1").rglob("*.jpg"))[:2]
    extractor = host.utils.FeatureExtractor(
        "dual_test_vit", checkpoint, image_size=(128, 128), device="cpu", verbose=False
    )
    model, about = load_model(checkpoint)
    expected = model(read_samples(images, RGB, about["images"]).inputs)
    torch.testing.assert_close(extractor(images), expected, atol=1e-3, rtol=1e-3)
