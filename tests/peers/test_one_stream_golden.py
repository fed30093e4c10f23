"""The numbers in one_stream_golden.json are those of the authors' code: LuckyDC's at 49801f8, MCJA's at efc1ffe."""

import json

import pytest
import torch

from tests.peers import test_luckydc, test_mcja
from tests.peers.agw_formula import NUM_STEPS, fill
from tests.peers.one_stream_formula import GOLDEN, NUM_CLASSES, batch, stored, summary
from tests.peers.peer_code import gradients
from torchreid_rgbir import config
from torchreid_rgbir.runs.build import build_model
from torchreid_rgbir.runs.peer_checkpoints import FORMATS

theirs, pair = test_luckydc.theirs, test_mcja.pair  # fixtures


def check(name, network, take_step, losses):
    """Compares the steps of the authors' code with the stored numbers. Numbers that are not in the file are stored."""
    model = build_model(config.load(f"{name}_sysu"), NUM_CLASSES, pretrained=False).double()
    fill(model)
    names = {key: FORMATS[name].their_name(key) for key in model.state_dict()}
    network.load_state_dict({names[key]: value for key, value in model.state_dict().items()}, strict=False)
    found = []
    for step in range(NUM_STEPS):
        features, computed = take_step(*batch(name, step))
        with_gradients, weights = gradients(network), network.state_dict()
        ours = {key: with_gradients[other].clone() for key, other in names.items() if other in with_gradients}
        weights = {key: weights[other].clone() for key, other in names.items()}
        found.append(summary(features, [float(computed[key]) for key in losses], ours, weights))
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if name not in kept:
        GOLDEN.write_text(json.dumps(kept | {name: found}, indent=1) + "\n")
    for step, expected in zip(found, stored(name), strict=True):
        for key in expected:
            assert step[key] == pytest.approx(expected[key], rel=1e-9), key


def test_luckydcs_numbers(theirs):
    optimizer, _ = test_luckydc.optimizer_and_schedule(theirs)

    def take_step(images, pids, num_rgb):
        return test_luckydc.step(theirs, optimizer, images, pids)

    check("luckydc", theirs, take_step, ("ce", "tri"))


@pytest.mark.parametrize("pair", [("mcja_sysu", 2)], indirect=True)
def test_mcjas_numbers(pair):
    network, _ = pair
    optimizer = torch.optim.Adam(network.parameters(), lr=0.00035, weight_decay=0.0005)

    def take_step(images, pids, num_rgb):
        return test_mcja.step(network, optimizer, images, pids, torch.arange(len(pids)) < num_rgb)

    check("mcja", network, take_step, ("loss_id", "loss_cmr"))
