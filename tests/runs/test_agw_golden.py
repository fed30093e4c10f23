"""Steps of the recipes of AGW and CAJ, in double precision, beside the numbers of the authors' code at commit e817a26."""

import pytest

from tests.peers.agw_formula import NUM_CLASSES, NUM_STEPS, batch, fill, stored, summary
from tests.peers.peer_code import Ours
from torchreid_rgbir import config


@pytest.mark.parametrize(("recipe", "num_views"), [("agw_sysu", 1), ("caj_sysu", 2)])
def test_steps_have_the_numbers_of_the_authors_code(recipe, num_views):
    ours = Ours(config.load(recipe), NUM_CLASSES)
    fill(ours.model)
    kept = {}
    ours.model.register_forward_hook(lambda _, __, outputs: kept.update(pooled=outputs.pooled.detach()))
    for step, expected in zip(range(NUM_STEPS), stored(recipe.split("_")[0]), strict=True):
        losses = ours(*batch(step, num_views))
        losses = {name: value for name, value in losses.items() if name in ("loss_id", "loss_wrt", "loss_wrt_sq")}
        found = summary(kept["pooled"], losses, ours.gradients, ours.model.state_dict())
        for name in ("features", "losses", "gradients", "weights"):
            assert found[name] == pytest.approx(expected[name], rel=1e-8), name
