"""The method in torchreid's own loop: the same weights as our engine's, and torchreid's ranking."""

import numpy as np
import pytest
import torch
from torch import nn

import torchreid_rgbir  # noqa: F401  publishes the names
from tests import tiny
from torchreid_rgbir import config, host
from torchreid_rgbir.engine import CrossModalEngine, ImageMSOEngine
from torchreid_rgbir.engine.guard import NonFiniteError
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.models import Batch, Outputs
from torchreid_rgbir.protocols import standard
from torchreid_rgbir.runs.build import build_datamanager, build_optimizer

EPOCHS = 3


@pytest.fixture
def parts(sysu_root, tmp_path):
    """Makes data, model, optimizer and criterion of one seed, alike each time."""
    cfg = tiny.configuration(sysu_root, tmp_path / "run", "data.height", "64", "data.width", "32")

    def make():
        host.utils.set_random_seed(3)
        datamanager = build_datamanager(cfg)
        model = tiny.tiny_resnet(datamanager.num_train_pids, loss="mso").to(memory_format=torch.channels_last)
        optimizer = build_optimizer(cfg, model)
        for group in optimizer.param_groups:
            group["fused"] = True  # CrossModalEngine fuses it
        return datamanager, model, optimizer, MSOLoss(pef_weights="random")

    return make


def test_torchreids_loop_and_ours_train_the_same_weights_bit_for_bit(parts, tmp_path):
    datamanager, model, optimizer, criterion = parts()
    ImageMSOEngine(datamanager, model, optimizer, criterion).run(
        str(tmp_path / "theirs"), max_epoch=EPOCHS, eval_freq=1, dist_metric="cosine", ranks=[1, 5]
    )
    datamanager, ours, optimizer, criterion = parts()
    CrossModalEngine(datamanager, ours, optimizer, criterion).run(
        str(tmp_path / "ours"), max_epoch=EPOCHS, eval_freq=1, dist_metric="cosine"
    )
    different = [name for name, value in ours.state_dict().items() if not torch.equal(value, model.state_dict()[name])]
    assert different == []
    before = parts()[1].state_dict()
    assert not torch.equal(before["layer1.0.conv1.weight"], ours.state_dict()["layer1.0.conv1.weight"])  # it trained


def test_torchreids_ranking_is_our_standard_protocol(parts, capsys):
    datamanager, model, optimizer, criterion = parts()
    engine = ImageMSOEngine(datamanager, model, optimizer, criterion)
    found = engine.test(dist_metric="cosine")
    printed = capsys.readouterr().out
    assert "torchreid ranking, not the data set's protocol" in printed
    ours = CrossModalEngine(datamanager, model, optimizer)
    ours.set_model_mode("eval")
    loaders = datamanager.test_loader["sysu_mm01"]
    features = ours.extract([loaders["query"], loaders["gallery"]])
    (setting,) = standard.report(features)
    mAP = float(next(line for line in printed.splitlines() if line.startswith("mAP")).split()[1].strip("%")) / 100
    assert found == pytest.approx(setting["mean"]["rank1"], abs=1e-6)
    assert mAP == pytest.approx(setting["mean"]["mAP"], abs=6e-4)  # torchreid prints one digit of a percent
    rank1, exact = engine._evaluate("sysu_mm01", loaders["query"], loaders["gallery"], dist_metric="cosine")
    assert (rank1, exact) == pytest.approx((setting["mean"]["rank1"], setting["mean"]["mAP"]), abs=1e-6)


def test_its_checkpoint_is_readable_and_resumes_the_same_run(parts, tmp_path):
    def run(folder, **options):
        datamanager, model, optimizer, criterion = parts()
        engine = ImageMSOEngine(datamanager, model, optimizer, criterion)
        if start := options.get("start_epoch"):
            path = str(tmp_path / folder / "model" / f"model.pth.tar-{start}")
            assert host.utils.resume_from_checkpoint(path, model, optimizer, engine.scheduler) == start
        engine.run(str(tmp_path / folder), **options)
        return model.state_dict()

    complete = run("complete", max_epoch=2)
    run("parts", max_epoch=1)
    assert isinstance(checkpoint.load(tmp_path / "parts" / "model" / "model.pth.tar-1")["rank1"], float)
    resumed = run("parts", max_epoch=2, start_epoch=1)
    assert all(torch.equal(value, complete[name]) for name, value in resumed.items())


def test_the_four_losses_are_the_default(parts, monkeypatch):
    datamanager, model, optimizer, _ = parts()
    made = []
    monkeypatch.setattr("torchreid_rgbir.engine.image_mso.MSOLoss", lambda *sizes: made.append(sizes) or nn.Identity())
    ImageMSOEngine(datamanager, model, optimizer)
    assert made == [(datamanager.num_train_pids, model.feature_dim)]


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(parts, tmp_path):
    datamanager, model, optimizer, _ = parts()

    def criterion(outputs: Outputs, batch: Batch):
        return {"loss": outputs.logits.sum() * np.nan, "loss_id": outputs.logits.sum() * np.nan}

    engine = ImageMSOEngine(datamanager, model, optimizer, criterion)
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(NonFiniteError, match="loss_id is nan in epoch 1, batch 1. The weights were not updated"):
        engine.run(str(tmp_path / "run"), max_epoch=1)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_mistakes_end_in_one_line(parts, monkeypatch):
    datamanager, model, optimizer, criterion = parts()
    with pytest.raises(
        ValueError, match="object gives images of one modality: use torchreid.data.CrossModalDataManager"
    ):
        ImageMSOEngine(object(), model, optimizer)
    with pytest.raises(ValueError, match=r"needs a two-stream model with loss='mso', got ResNet with loss='softmax'"):
        ImageMSOEngine(datamanager, host.models.build_model("resnet18", 3, pretrained=False), optimizer)
    with pytest.raises(ValueError, match="got DualResNet with loss='triplet'"):
        ImageMSOEngine(datamanager, tiny.tiny_resnet(3, loss="triplet"), optimizer)
    parallel = nn.DataParallel(model)
    assert ImageMSOEngine(datamanager, parallel, optimizer, criterion).model is model
    parallel.device_ids = [0, 1]
    with pytest.raises(ValueError, match="DataParallel over 2 GPUs would cut a batch between its modalities"):
        ImageMSOEngine(datamanager, parallel, optimizer, criterion)
    with pytest.raises(
        ValueError, match="needs normalized images, got torch.uint8: train on a CrossModalDataManager with"
    ):
        model(next(iter(datamanager.train_loader))["img"])


def test_a_trained_loss_must_be_in_the_optimizer(parts):
    datamanager, model, optimizer, _ = parts()
    criterion = nn.Linear(2, 2)  # anything with trainable parameters
    with pytest.raises(ValueError, match="trainable parameters that the optimizer does not have"):
        ImageMSOEngine(datamanager, model, optimizer, criterion)
    optimizer.add_param_group({"params": criterion.parameters()})
    ImageMSOEngine(datamanager, model, optimizer, criterion)


def test_names_are_where_a_torchreid_user_looks():
    from torchreid.data import CrossModalDataManager  # noqa: F401
    from torchreid.engine import CrossModalEngine as Theirs
    from torchreid.losses import ContrastiveCenterLoss, PerceptualEdgeLoss, WeightedTripletLoss  # noqa: F401
    from torchreid.losses import MSOLoss as Published

    assert Published is MSOLoss and Theirs is CrossModalEngine
    assert host.engine.ImageMSOEngine is ImageMSOEngine


def test_a_name_that_torchreid_uses_is_refused(monkeypatch):
    monkeypatch.setattr(host.losses, "MSOLoss", dict)
    with pytest.raises(ValueError, match="torchreid.losses.MSOLoss is <class 'dict'> already"):
        host.publish("losses", MSOLoss=MSOLoss)
    host.publish("engine", ImageMSOEngine=ImageMSOEngine)  # the same class again


def test_the_data_manager_and_models_are_torchreids(parts):
    datamanager, *_ = parts()
    assert isinstance(datamanager, host.data.ImageDataManager)
    assert issubclass(ImageMSOEngine, host.engine.ImageTripletEngine)
    assert config.defaults().model.name in host.model_names()
