"""What the retrieval tests share: a checkpoint of an untrained model, pictures in folders, features in clusters."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.retrieval import Extractor, ReferenceTable
from torchreid_rgbir.synthetic.write import synthesize


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A checkpoint with what training writes into it; dual_resnet18 at 64 x 32."""
    torch.manual_seed(0)
    cfg = config.load("quickstart")
    model = MODELS[cfg.model.name](7, pretrained=False, last_stride=2)
    images = {"height": 64, "width": 32, "norm_mean": [0.5, 0.4, 0.3], "norm_std": [0.2, 0.3, 0.4]}
    about = {
        "model": {"name": cfg.model.name, "num_classes": 7, "last_stride": 2},
        "images": images,
        "config": cfg.dump(),
    }
    path = tmp_path_factory.mktemp("weights") / "model-best.pth.tar"
    checkpoint.save({"state_dict": model.state_dict(), "about": about}, path)
    return path


@pytest.fixture(scope="session")
def extractor(weights):
    return Extractor.load(weights)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """rgb/ID/*.jpg and ir/ID/*.jpg of 4 identities that training would not see."""
    root = tmp_path_factory.mktemp("photos") / "set"
    synthesize("folder", root, num_ids=20, images_per_camera=2, size=(32, 64), workers=1)
    return root / "test"


@pytest.fixture
def clustered():
    """(features (N, 32), rows): 40 categories of 5 images, three cameras, half of the times unknown."""
    rng = np.random.default_rng(0)
    numbers = np.arange(200)
    centers = rng.standard_normal((40, 32))
    features = (centers[numbers // 5] + 0.5 * rng.standard_normal((200, 32))).astype(np.float32)
    start = datetime(2026, 5, 1, tzinfo=timezone.utc)
    rows = ReferenceTable.of(
        [f"images/it's {i}.jpg" for i in numbers],
        [f'category "{i // 5}"' for i in numbers],
        (numbers % 3 + 1).tolist(),
        [start + timedelta(hours=int(i)) if i % 2 else None for i in numbers],
        [{"number": int(i), "ü": [None, 1.5]} for i in numbers],
    )
    return features, rows
