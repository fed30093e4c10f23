"""What an epoch reports: means of its losses, and signs of collapse."""

import logging

import numpy as np
import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.engine import monitor
from torchreid_rgbir.models import Batch, Outputs
from torchreid_rgbir.protocols.sysu_mm01 import SYSUMM01Protocol
from torchreid_rgbir.runs.train import train

NAN = float("nan")


def batch(num_images, num_ids):
    return Batch(torch.zeros(num_images), torch.zeros(num_images, dtype=torch.long), num_images // 2, num_ids)


def test_means_leave_out_batches_that_are_not_finite():
    means = monitor.RunningMeans()
    for value in (1.0, NAN, 4.0):
        means.add({"loss": torch.tensor(value)}, torch.tensor(value == value))
    assert means.read() == {"loss": 2.5}
    again = monitor.RunningMeans()
    again.load_state_dict(means.state_dict())
    again.add({"loss": torch.tensor(7.0)}, torch.tensor(True))
    assert again.read() == {"loss": 4.0}


def test_no_batch_has_no_mean():
    assert monitor.RunningMeans().read() == {}


def test_measures_by_hand():
    features = torch.eye(4).repeat_interleave(2, 0)  # 2 modalities x 2 identities x 2 images
    found = monitor.collapse_measures(features, batch(8, 2))
    assert found["feature_variance"].item() == pytest.approx(0.75)  # all at right angles to each other: 1 - 1 / 4
    assert found["min_center_dist"].item() == pytest.approx(1.0)  # centers (e0 + e2) / 2 and (e1 + e3) / 2
    equal = monitor.collapse_measures(torch.ones(8, 4), batch(8, 2))
    assert equal["feature_variance"].item() == pytest.approx(0, abs=1e-6)
    alone = monitor.collapse_measures(
        torch.eye(4), batch(4, 1)
    )  # one identity of this process has no other to compare with
    assert alone["feature_variance"].item() == pytest.approx(0.75) and "min_center_dist" not in alone


@pytest.mark.parametrize(
    ("means", "reported"),
    [
        ({"feature_variance": 1e-6}, "almost equal"),
        ({"min_center_dist": 1e-5}, "centers of two identities almost coincide"),
        ({"loss_wrt": 0.6932}, "stays at log 2"),
        ({"feature_variance": 0.5, "min_center_dist": 0.3, "loss_wrt": 0.65}, ""),
        ({}, ""),
    ],
)
def test_signs_of_collapse_are_reported(means, reported, caplog):
    caplog.set_level(logging.WARNING, "torchreid_rgbir")
    monitor.warn_of_collapse(means, epoch=6)
    assert reported in caplog.text and bool(reported) == ("in epoch 7" in caplog.text)


def test_a_run_that_collapses_is_reported(fast_cfg, capsys, monkeypatch):
    monkeypatch.setattr("tests.tiny.DualResNet.forward", _constant)
    train(config.override(fast_cfg, ["train.max_epoch", "1"]))
    out = capsys.readouterr().out
    assert "features of a batch are almost equal" in out and "stays at log 2" in out


def _constant(self, images, num_rgb=None, return_featuremaps=False):
    features = self.classifier.weight.mean() + torch.ones(len(images), self.feature_dim)
    return Outputs(self.classifier(features), features, features, images[:, :1], images)


@pytest.mark.parametrize(
    ("mAP", "best", "chance", "reported"),
    [(0.05, 0.6, 0.04, True), (0.05, 0.05, 0.04, False), (0.3, 0.6, 0.04, False), (0.05, 0.6, 0.02, False)],
)
def test_a_score_that_falls_to_chance_is_reported(mAP, best, chance, reported, caplog):
    caplog.set_level(logging.WARNING, "torchreid_rgbir")
    monitor.warn_of_chance(mAP, best, chance)
    assert reported == (f"mAP fell from {best:.4f} to {mAP:.4f}, which random features reach as well" in caplog.text)


def test_a_run_compares_a_bad_score_with_chance(fast_cfg, capsys, monkeypatch):
    """The first epoch scores 0.6, the second 0.05, and random features 0.04."""

    def score(self, features, **options):
        noise = np.random.default_rng(0).standard_normal(features.features.shape).astype(np.float32)
        mAP = 0.04 if np.array_equal(features.features, noise) else mAPs.pop(0)
        mean = dict.fromkeys(("rank1", "rank5", "rank10", "rank20", "mINP"), 0.5) | {"mAP": mAP}
        facts = dict(search="all", shots=1, sampling="agw", num_trials=1, num_queries=1, num_valid_queries=1)
        return [facts | {"num_gallery": 1, "mean": mean, "std": mean, "trials": [mean]}]

    mAPs = [0.6, 0.05]
    monkeypatch.setattr(SYSUMM01Protocol, "score", score)
    train(fast_cfg)
    text = "mAP fell from 0.6000 to 0.0500, which random features reach as well (0.0400)"
    assert capsys.readouterr().out.count(text) == 1
