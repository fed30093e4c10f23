"""A checkpoint of ImageMSOEngine alone is enough for the plugin's commands."""

import importlib.util

import pytest
import torch
from yacs.config import CfgNode

from tests import tiny
from torchreid_rgbir import host
from torchreid_rgbir.cli import main
from torchreid_rgbir.engine import ImageMSOEngine
from torchreid_rgbir.losses import MSOLoss
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.retrieval import Extractor
from torchreid_rgbir.runs import provenance
from torchreid_rgbir.runs.visualize import configuration, scored


@pytest.fixture
def weights(sysu_root, tmp_path, monkeypatch):
    """The path of a checkpoint of a tiny network with a name of its own."""

    def build(*args, **kwargs):
        model = tiny.tiny_resnet(*args, **kwargs)
        model.name = "tiny"
        return model

    monkeypatch.setitem(MODELS, "tiny", build)
    torch.manual_seed(0)
    datamanager = host.data.CrossModalDataManager(
        str(sysu_root),
        "sysu_mm01",
        height=64,
        width=32,
        batch_size_train=16,
        num_instances=2,
        workers=0,
        ir_range="0,99",
    )
    model = MODELS["tiny"](datamanager.num_train_pids, loss="mso", last_stride=2)
    criterion = MSOLoss(weight_pef=0, weight_cmcc=0.5)
    engine = ImageMSOEngine(datamanager, model, host.optim.build_optimizer(model), criterion, use_gpu=False)
    engine.save_model(0, 0.5, str(tmp_path))
    return tmp_path / "model" / "model.pth.tar-1"


def test_the_checkpoint_describes_model_data_and_losses(weights, sysu_root):
    _, about = load_model(weights)
    cfg = CfgNode.load_cfg(about["config"])
    assert (cfg.model.name, cfg.model.last_stride, cfg.data.height, cfg.data.width) == ("tiny", 2, 64, 32)
    assert (cfg.data.sources, cfg.data.targets, cfg.data.ir_range) == (["sysu_mm01"], ["sysu_mm01"], "0,99")
    assert (cfg.data.root, cfg.loss.mso.weight_pef, cfg.loss.mso.weight_cmcc) == (str(sysu_root), 0, 0.5)
    assert about["versions"] == provenance.versions()  # importable from its old place


def test_features_and_scores(weights, sysu_root):
    extractor = Extractor.load(weights)
    assert extractor([str(sysu_root / "cam3" / "0001")], "ir").shape == (2, 16)
    cfg = configuration(load_model(weights)[1], weights, "")
    cfg.data.workers = 0
    assert scored(cfg)[0].results["sysu_mm01"]["settings"]


@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="the extra export is not installed")
def test_export(weights, tmp_path):
    assert main(["export", "--weights", str(weights), "--out", str(tmp_path / "exported")]) == 0
    assert (tmp_path / "exported" / "rgb.onnx").is_file()
