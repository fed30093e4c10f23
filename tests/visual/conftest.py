import numpy as np
import pytest
import torch

from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.models import dual_resnet18

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
