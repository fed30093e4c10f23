import pytest
import torch

from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.runs.train import train


def test_a_checkpoint_alone_gives_the_model_that_was_trained(tiny_cfg, tmp_path):
    engine = train(tiny_cfg)
    model, about = load_model(engine.checkpoint_path)
    assert not model.training
    assert about["images"]["height"] == 64
    images = torch.rand(3, 3, 64, 32)
    engine.model.eval()
    with torch.no_grad():
        assert torch.allclose(model(images, 2), engine.model(images, 2), atol=1e-4)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({}, "does not name its model"),
        ({"model": {"name": "osnet"}, "images": {}}, "contains a osnet, which is not a known two-stream model"),
        ({"model": {"name": "dual_resnet18"}}, "does not name its model"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, about, message):
    torch.save({"state_dict": {}, "about": about}, tmp_path / "weights")
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "weights")
