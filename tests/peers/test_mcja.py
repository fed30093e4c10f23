"""MCJA, github.com/workingcoder/MCJA at commit efc1ffe, beside ours: the same steps."""

from copy import deepcopy

import pytest
import torch
import torchvision

from tests.peers.peer_code import (
    MCJA,
    Differences,
    Ours,
    batches,
    compare_gradients,
    compare_weights,
    imported,
    make_trained_like,
)
from torchreid_rgbir import config
from torchreid_rgbir.runs.peer_checkpoints import FORMATS

NUM_CLASSES = 12
NAMES = FORMATS["mcja"].their_name
COUNTS = [(3, 1), (1, 3), (2, 2), (4, 0)]  # RGB and IR images of the identities of a batch; modalities are not balanced


@pytest.fixture(params=[("mcja_sysu", 2), ("mcja_regdb", 12)], ids=lambda param: param[0])
def pair(request, monkeypatch):
    """Their model, and the name of our recipe for it."""
    pytest.importorskip("torchsort")
    recipe, num_modalities = request.param
    # Their code imports the function from torchvision, which has it at a different place now.
    monkeypatch.setattr(torchvision.models.resnet, "load_state_dict_from_url", download, raising=False)
    # Their code computes losses in single precision. Here they are in double precision, as everything else.
    single = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self if self.is_floating_point() else single(self))
    with imported(MCJA):
        from models.mcja import MCJA as Network

        torch.manual_seed(0)
        network = Network(NUM_CLASSES, mda_m=num_modalities).double().train()
        make_trained_like(network)
        yield network, recipe


def download(url, progress):
    return torchvision.models.resnet50().state_dict()


def step(model, optimizer, images, pids, is_rgb):
    """Their training step, as in engine/engine.py. Returns the features and the losses."""
    features = []
    handle = model.bn_neck.register_forward_hook(lambda _, __, output: features.append(output.detach()))
    optimizer.zero_grad(set_to_none=True)
    loss, losses = model(images, pids, cam_ids=torch.where(is_rgb, 1, 3))
    handle.remove()
    loss.backward()
    optimizer.step()
    return features[0], losses


def test_twenty_steps_are_the_same(pair):
    theirs, recipe = pair
    ours = Ours(config.load(recipe), NUM_CLASSES)
    ours.load(theirs, NAMES)
    other = deepcopy(theirs)  # gets the images in a different order
    optimizer, other_optimizer = (
        torch.optim.Adam(model.parameters(), lr=0.00035, weight_decay=0.0005) for model in (theirs, other)
    )
    differences, reordered = Differences(), Differences()
    num_rgb = sum(rgb for rgb, _ in COUNTS)
    is_rgb = torch.arange(sum(map(sum, COUNTS))) < num_rgb
    for images, pids in batches(NUM_CLASSES, COUNTS):
        features, losses = step(theirs, optimizer, images, pids, is_rgb)
        our_losses = ours(images, pids, num_rgb)
        differences.add("features", ours.features, features)
        differences.add("identity loss", our_losses["loss_id"], losses["loss_id"])
        differences.add("retrieval loss", our_losses["loss_cmr"], losses["loss_cmr"])
        compare_gradients(differences, ours, theirs, NAMES)
        compare_weights(differences, ours.model, theirs, NAMES)
        if recipe == "mcja_sysu":  # once, because it takes time
            step(other, other_optimizer, images.flip(0), pids.flip(0), is_rgb.flip(0))
    differences.show(f"MCJA ({recipe})")
    if recipe == "mcja_sysu":
        compare_weights(reordered, other, theirs, str)
        reordered.show("MCJA's own code with the images of each batch in a different order")
    differences.check()
