"""Steps of the recipes of LuckyDC's baseline and MCJA beside the numbers of the authors' code (tests/peers), in double precision."""

import pytest

from tests.peers.agw_formula import NUM_STEPS, fill
from tests.peers.one_stream_formula import NUM_CLASSES, batch, stored, summary
from tests.peers.peer_code import Ours
from torchreid_rgbir import config


@pytest.mark.parametrize(("name", "loss"), [("luckydc", "loss_tri_pooled"), ("mcja", "loss_cmr")])
def test_steps_have_the_numbers_of_the_authors_code(name, loss):
    ours = Ours(config.load(f"{name}_sysu"), NUM_CLASSES)
    fill(ours.model)
    for step, expected in zip(range(NUM_STEPS), stored(name), strict=True):
        losses = ours(*batch(name, step))
        values = [losses[key].item() for key in ("loss_id", loss)]
        found = summary(ours.features, values, ours.gradients, ours.model.state_dict())
        for key in expected:
            assert found[key] == pytest.approx(expected[key], rel=1e-8), key
