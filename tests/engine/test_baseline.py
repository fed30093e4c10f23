"""torchreid's models and losses on cross-modal data."""

import pytest
import torch
import torch.nn.functional as F

from torchreid_rgbir import config
from torchreid_rgbir.engine.guard import NonFiniteError
from torchreid_rgbir.runs.build import build_engine

BASELINE = ["model.name", "resnet18", "loss.name", "softmax", "model.pretrained", "False", "test.sampling", "agw"]


@pytest.mark.parametrize(("label_smooth", "smoothing"), [("False", 0.0), ("True", 0.1)])
def test_the_softmax_loss_is_cross_entropy_with_torchreids_smoothing(fast_cfg, label_smooth, smoothing):
    engine = build_engine(config.override(fast_cfg, [*BASELINE, "loss.softmax.label_smooth", label_smooth]))
    torch.manual_seed(0)
    logits = torch.randn(6, engine.datamanager.num_train_pids)
    pids = torch.tensor([0, 1, 2, 0, 1, 2])
    expected = F.cross_entropy(logits, pids, label_smoothing=smoothing)
    torch.testing.assert_close(engine.criterion_x(logits, pids), expected)


def test_a_loss_that_is_not_finite_ends_the_run(fast_cfg, monkeypatch):
    engine = build_engine(config.override(fast_cfg, BASELINE))
    monkeypatch.setattr(engine.criterion_x, "forward", lambda logits, pids: logits.sum() * float("nan"))
    engine.set_model_mode("train")
    engine.batch_idx = 0
    with pytest.raises(NonFiniteError, match="loss is nan in epoch 1, batch 1"):
        engine.forward_backward(next(iter(engine.train_loader)))
