import numpy as np
import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.models import dual_resnet18
from torchreid_rgbir.runs.train import train

for module in ("matplotlib", "sklearn", "jinja2"):
    pytest.importorskip(module)


@pytest.fixture
def features():
    """Six identities, two images of each from each of two RGB and one IR camera; identities are clusters."""
    rng = np.random.default_rng(0)
    pids, camids, numbers = (a.ravel() for a in np.meshgrid(range(6), (1, 2, 3), (1, 2), indexing="ij"))
    values = 3 * rng.standard_normal((6, 16))[pids] + 0.5 * rng.standard_normal((len(pids), 16))
    return TestFeatures(values.astype(np.float32), pids, camids, np.where(camids == 3, 1, 0), numbers)


@pytest.fixture
def model():
    """A network whose streams differ, in evaluation mode."""
    torch.manual_seed(0)
    model = dual_resnet18(3, pretrained=False, last_stride=1)
    torch.nn.init.normal_(model.layer0["ir"].conv1.weight, std=0.2)
    model(torch.rand(8, 3, 64, 32), 3)
    return model.eval()


@pytest.fixture(scope="session")
def run(sysu_root, tmp_path_factory):
    """The folder of a short training run on the small synthetic set."""
    folder = tmp_path_factory.mktemp("runs") / "night <&> day"
    settings = {"data.root": sysu_root, "data.save_dir": folder, "data.height": 64, "data.width": 32, "data.workers": 0}
    settings |= {"train.batch_size": 16, "sampler.num_instances": 2, "sampler.batches_per_epoch": 2}
    settings |= {"train.max_epoch": 2, "train.warmup_epoch": 1, "train.print_freq": 1, "test.eval_freq": 1}
    cfg = config.load("quickstart")
    train(config.override(cfg, [str(word) for pair in settings.items() for word in pair]))
    return folder
