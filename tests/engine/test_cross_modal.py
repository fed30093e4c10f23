"""What the engine hands to whom: each of these, wired wrongly, would still train and only give worse numbers."""

import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torchreid_rgbir import config
from torchreid_rgbir.engine.schedule import warmup_cosine
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train
from torchreid_rgbir.synthetic.layouts import _permutation_file


@pytest.fixture
def engine(tiny_cfg):
    return build_engine(tiny_cfg)


def test_the_losses_see_the_augmented_images_un_normalized(engine, monkeypatch):
    seen = {}
    forward, criterion = engine.model.forward, engine.criterion.forward
    monkeypatch.setattr(engine.model, "forward", lambda images, n: seen.update(model=images, n=n) or forward(images, n))
    monkeypatch.setattr(
        engine.criterion, "forward", lambda out, batch: seen.update(batch=batch) or criterion(out, batch)
    )
    engine.set_model_mode("train")
    engine.epoch, engine.batch_idx = 1, 2
    data = next(iter(engine.train_loader))
    engine.forward_backward(data)
    transforms = engine.datamanager.transforms
    augmented = transforms.augment(data["img"], 8, epoch=1, batch=2)
    assert not torch.equal(augmented, data["img"] / 255)
    batch = seen["batch"]
    torch.testing.assert_close(batch.images, augmented)
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    torch.testing.assert_close(seen["model"], transforms.normalize(augmented))
    assert seen["n"] == batch.num_rgb == 8 and data["modality"].tolist() == [RGB] * 8 + [IR] * 8
    assert torch.equal(batch.pids, data["pid"]) and batch.num_ids == 4


def test_every_epoch_draws_other_images(tiny_cfg, monkeypatch):
    drawn: dict[int, list] = {}

    def forward_backward(self, data):
        drawn.setdefault(self.epoch, []).extend(data["impath"])
        return {"loss": torch.ones(())}, torch.tensor(True)

    monkeypatch.setattr("torchreid_rgbir.engine.CrossModalEngine.forward_backward", forward_backward)
    train(tiny_cfg)
    assert set(drawn) == {0, 1} and drawn[0] != drawn[1]


def test_the_learning_rate_of_every_epoch_is_the_schedules(tiny_cfg, tmp_path):
    words = ["train.max_epoch", "4", "train.warmup_epoch", "2", "sampler.batches_per_epoch", "1"]
    train(config.override(tiny_cfg, words))
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    found = {event.step: event.value for event in events.Scalars("Train/lr")}
    assert found == pytest.approx({i: tiny_cfg.train.lr * warmup_cosine(i + 1, 2, 4) for i in range(4)})
    for part in ("loss", "loss_id", "loss_wrt", "loss_pef", "loss_cmcc", "acc"):
        assert len(events.Scalars(f"Train/{part}")) == 4


def test_each_modality_is_extracted_through_its_own_layer0(engine):
    with torch.no_grad():
        engine.model.layer0["ir"].conv1.weight.mul_(-1)
    engine.set_model_mode("eval")
    loaders = engine.test_loader["sysu_mm01"]
    found = engine.extract([loaders["query"], loaders["gallery"]])
    for modality, loader in ((IR, loaders["query"]), (RGB, loaders["gallery"])):
        images = torch.stack([item["img"] for item in loader.dataset])
        with torch.no_grad():
            expected = engine.model.stream(modality)(engine.datamanager.transforms.normalize(images))
        np.testing.assert_allclose(found.features[found.modalities == modality], expected, atol=1e-4)


def test_a_worse_score_after_a_resume_leaves_the_best_checkpoint_alone(tiny_cfg, tmp_path):
    train(config.override(tiny_cfg.clone(), ["train.max_epoch", "1"]))
    folder = tmp_path / "run" / "model"
    path = folder / "model.pth.tar-1"
    state = torch.load(path, weights_only=True)
    torch.save(state | {"best_mAP": 0.999}, path)  # as if an earlier epoch had been better
    (folder / "SHA256SUMS").unlink()
    best = (folder / "model-best.pth.tar").read_bytes()
    engine = train(config.override(tiny_cfg, ["model.resume", "auto"]))
    assert engine.epoch == 2 and engine.best_mAP == 0.999
    assert (folder / "model-best.pth.tar").read_bytes() == best


def test_the_protocol_is_tried_before_the_training(tiny_cfg, sysu_root, tmp_path):
    shutil.copytree(sysu_root, tmp_path / "SYSU-MM01")
    cfg = config.override(tiny_cfg, ["data.root", str(tmp_path)])
    permutations = tmp_path / "SYSU-MM01" / "exp" / "rand_perm_cam.mat"
    permutations.write_bytes(b"junk")
    with pytest.raises(ValueError, match="rand_perm_cam.mat"):
        train(cfg)
    permutations.write_bytes(_permutation_file(20, images=1, seed=0))  # the folders hold two
    with pytest.raises(ValueError, match="is image 2 of camera 1, identity"):
        train(cfg)
    assert not (tmp_path / "run").exists()


def test_a_test_leaves_the_training_runs_record(tiny_cfg, tmp_path):
    train(config.override(tiny_cfg.clone(), ["train.max_epoch", "1"]))
    run = tmp_path / "run"
    before = [(run / name).read_bytes() for name in ("config.yaml", "results.json")]
    words = [
        "test.evaluate",
        "True",
        "test.query",
        "rgb",
        "model.load_weights",
        str(run / "model" / "model-best.pth.tar"),
    ]
    train(config.override(tiny_cfg.clone(), words))
    assert [(run / name).read_bytes() for name in ("config.yaml", "results.json")] == before
    assert '"query": "rgb"' in (run / "test-results.json").read_text()
    assert config.load(str(run / "test-config.yaml")).test.evaluate
