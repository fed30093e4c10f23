"""AGW and CAJ, github.com/mangye16/Cross-Modal-Re-ID-baseline at commit e817a26, beside ours: the same steps."""

import collections
import json
import os
import random
import warnings
from math import sqrt
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import torch
import torchvision
from torch import nn

from tests.peers import agw_formula
from tests.peers.peer_code import AGW, CAJ, Differences, Ours, compare_gradients, compare_weights, gradients, imported
from torchreid_rgbir import config
from torchreid_rgbir.data import AGWSampler
from torchreid_rgbir.data.transforms import BatchTransforms
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.models import agw_resnet50
from torchreid_rgbir.runs.peer_checkpoints import FORMATS

NUM_CLASSES, NUM_IDS, NUM_INSTANCES = 10, 4, 2
SIZE = (48, 24)
NUM_EPOCHS, STEPS_PER_EPOCH = 2, 10
NAMES = FORMATS["agw"].their_name
PEERS = {"agw": AGW, "caj": CAJ}
TRIPLETS = {"agw": "wrt", "caj": "wrt_sq"}  # our names of their triplet losses


@pytest.fixture
def peer(request, monkeypatch):
    """The modules of AGW's or CAJ's code, on a CPU and without its download of ImageNet weights."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *args, **kwargs: self)
    monkeypatch.setattr(
        torch.utils.model_zoo, "load_url", lambda url: torchvision.models.resnet50(num_classes=1).state_dict()
    )
    with imported(PEERS[request.param]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old forms of torch's functions
        yield request.param


class Theirs:
    """Their network with the steps of their training script, in double precision."""

    def __init__(self, name: str, num_classes: int = NUM_CLASSES):
        import loss
        from model import embed_net

        torch.manual_seed(0)
        self.model = embed_net(num_classes, no_local="on", gm_pool="on").double().train()
        self.identity = nn.CrossEntropyLoss()
        self.triplet = loss.TripletLoss_WRT() if name == "agw" else loss.TripletLoss_ADP(alpha=1, gamma=1, square=1)
        self.divergence = loss.KLDivLoss() if name == "caj" else None  # computed by their script, with a weight of 0
        new = [self.model.bottleneck, self.model.classifier]
        others = {id(parameter) for part in new for parameter in part.parameters()}
        base = [parameter for parameter in self.model.parameters() if id(parameter) not in others]
        groups = [{"params": base, "lr": 0.01}, *({"params": part.parameters(), "lr": 0.1} for part in new)]
        self.optimizer = torch.optim.SGD(groups, weight_decay=5e-4, momentum=0.9, nesterov=True)

    def set_epoch(self, epoch: int) -> None:
        """Their learning rates of an epoch, from 0."""
        rate = 0.1 * (epoch + 1) / 10 if epoch < 10 else 0.1 if epoch < 20 else 0.01 if epoch < 50 else 0.001
        self.optimizer.param_groups[0]["lr"] = 0.1 * rate
        for group in self.optimizer.param_groups[1:]:
            group["lr"] = rate

    def __call__(self, images, pids, num_rgb):
        """Takes a step.  Returns pooled features, class scores and the two losses."""
        pooled, logits = self.model(images[:num_rgb], images[num_rgb:])
        losses = {"loss_id": self.identity(logits, pids), "loss_triplet": self.triplet(pooled, pids)[0]}
        loss = losses["loss_id"] + losses["loss_triplet"]
        if self.divergence is not None:
            third = len(logits) // 3
            loss = loss + 0 * self.divergence(logits[:third], logits[2 * third :])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return pooled.detach(), {name: value.detach() for name, value in losses.items()}


@torch.no_grad()
def make_trained_like(net: nn.Module) -> None:
    """Gives the network weights as after training: residual branches that add little, and non-local blocks that do something.

    With initial weights the distances of pooled features are so large that the weights of negatives vanish in their triplet
    loss, and that it is infinite in single precision.
    """
    generator = torch.Generator().manual_seed(1)

    def uniform(tensor, low, high):
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))

    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            last = name.endswith("bn3") or ".W.1" in name
            scale = 0.2 if "base.layer4" in name and (last or "downsample" in name) else 1.0
            uniform(module.weight, *((0.02 * scale, 0.1 * scale) if last else (0.5 * scale, scale)))
            uniform(module.bias, -0.1 * scale, 0.1 * scale)
    net.classifier.weight.normal_(0, 0.01, generator=generator)


def augmented_batches(cfg):
    """Yields normalized images (B, 3, H, W) in double precision, RGB first, identities (B,) and the number of RGB images."""
    generator = torch.Generator().manual_seed(0)
    faces = torch.randint(0, 256, (NUM_CLASSES, 3, SIZE[0] // 8, SIZE[1] // 8), generator=generator).double()
    faces = nn.functional.interpolate(faces, SIZE, mode="bilinear")
    transforms = BatchTransforms(
        cfg.data.transforms,
        cfg.data.norm_mean,
        cfg.data.norm_std,
        ir=cfg.data.transforms_ir,
        rgb2=cfg.data.transforms_rgb2,
    )
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (cfg.data.norm_mean, cfg.data.norm_std)
    )
    num_rgb = NUM_IDS * NUM_INSTANCES
    for step in range(NUM_EPOCHS * STEPS_PER_EPOCH):
        chosen = torch.randperm(NUM_CLASSES, generator=generator)[:NUM_IDS].repeat_interleave(NUM_INSTANCES)
        noise = torch.randn(2 * num_rgb, 3, *SIZE, generator=generator, dtype=torch.float64)
        images = (faces[torch.cat([chosen, chosen])] + 20 * noise).clamp(0, 255)
        images[num_rgb:] = 255 - images[num_rgb:].mean(1, keepdim=True)  # IR
        images = transforms.augment(images.to(torch.uint8), num_rgb, 0, step)
        images = images.double() / (1 if images.is_floating_point() else 255)
        views = [chosen] * transforms.num_rgb_views
        yield (images - mean) / std, torch.cat([*views, chosen]), len(views) * num_rgb


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_twenty_steps_are_the_same(peer):
    cfg = config.load(f"{peer}_sysu")
    theirs, reordered = Theirs(peer), Theirs(peer)
    make_trained_like(theirs.model)
    reordered.model.load_state_dict(theirs.model.state_dict())
    ours = Ours(cfg, NUM_CLASSES)
    ours.load(theirs.model, NAMES)
    kept = {}
    ours.model.register_forward_hook(lambda _, __, outputs: kept.update(pooled=outputs.pooled.detach()))
    largest, floor = Differences(), Differences()
    print()
    for step, (images, pids, num_rgb) in enumerate(augmented_batches(cfg)):
        if step and step % STEPS_PER_EPOCH == 0:
            ours.schedule.step()
        for one in (theirs, reordered):
            one.set_epoch(step // STEPS_PER_EPOCH)
        order = torch.cat([torch.arange(num_rgb).flip(0), torch.arange(num_rgb, len(pids)).flip(0)])
        pooled, losses = theirs(images, pids, num_rgb)
        other_pooled, other_losses = reordered(images[order], pids[order], num_rgb)
        our_losses = ours(images, pids, num_rgb)
        our_losses["loss_triplet"] = our_losses[f"loss_{TRIPLETS[peer]}"]
        now, now_floor = Differences(), Differences()
        for found, features, values in (
            (now, kept["pooled"], our_losses),
            (now_floor, other_pooled[order.argsort()], other_losses),
        ):
            found.add("features", features, pooled)
            for name, value in losses.items():
                found.add(name, values[name], value)
        compare_gradients(now, ours, theirs.model, NAMES)
        compare_weights(now, ours.model, theirs.model, NAMES)
        compare_gradients(now_floor, SimpleNamespace(gradients=gradients(reordered.model)), theirs.model, str)
        compare_weights(now_floor, reordered.model, theirs.model, str)
        figures = ", ".join(f"{name} {value:.1e}" for name, value in now.largest.items())
        print(
            f"step {step + 1}: losses {losses['loss_id']:.3f} and {losses['loss_triplet']:.3f}, differences: {figures}"
        )
        for total, part in ((largest, now), (floor, now_floor)):
            total.largest = {name: max(value, total.largest.get(name, 0.0)) for name, value in part.largest.items()}
    largest.show(peer.upper())
    floor.show(f"{peer.upper()}'s own code with the images of each batch in a different order")
    for name, value in largest.largest.items():
        limit = 1e-8 if name == "weights" else 1e-9
        assert value < max(limit, 10 * floor.largest[name]) < 1e-5, name


@pytest.mark.parametrize("peer", PEERS, indirect=True)
def test_the_stored_numbers_are_those_of_their_code(peer):
    """With UPDATE_GOLDEN=1, the numbers are written."""
    theirs, model = (
        Theirs(peer, agw_formula.NUM_CLASSES),
        agw_resnet50(agw_formula.NUM_CLASSES, pretrained=False).double(),
    )
    agw_formula.fill(model)
    state = theirs.model.state_dict()
    theirs.model.load_state_dict(state | {NAMES(name): value for name, value in model.state_dict().items()})
    theirs.set_epoch(0)
    renamed = {name: NAMES(name) for name in model.state_dict()}
    steps = []
    for step in range(agw_formula.NUM_STEPS):
        pooled, losses = theirs(*agw_formula.batch(step, num_views=2 if peer == "caj" else 1))
        found, state = gradients(theirs.model), theirs.model.state_dict()
        by_our_name = {name: found[other] for name, other in renamed.items() if other in found}
        weights = {name: state[other] for name, other in renamed.items()}
        steps.append(agw_formula.summary(pooled, losses, by_our_name, weights))
    if os.environ.get("UPDATE_GOLDEN"):
        golden = json.loads(agw_formula.GOLDEN.read_text()) if agw_formula.GOLDEN.exists() else {}
        text = json.dumps(golden | {"commit": AGW.commit, peer: steps}, indent=1)
        agw_formula.GOLDEN.write_text(text + "\n")
    for expected, found in zip(agw_formula.stored(peer), steps, strict=True):
        for name in expected:
            assert found[name] == pytest.approx(expected[name], rel=1e-8)


@pytest.mark.parametrize("peer", ["agw"], indirect=True)
def test_samplers_agree_in_distribution(peer):
    """10,000 identities of theirs and of ours: both are uniform, and images are equally often repeated."""
    from utils import GenIdx, IdentitySampler

    labels = np.repeat(np.arange(6), 5)
    positions = GenIdx(labels, labels)
    np.random.seed(0)
    num_batches = 2500
    draws = [IdentitySampler(labels, labels, *positions, 3, 4, 0) for _ in range(num_batches)]
    their_images = np.stack([[draw.index1[:12], draw.index2[:12]] for draw in draws])  # (batches, 2, 12)
    sampler = AGWSampler([*labels, *labels], [RGB] * 30 + [IR] * 30, 24, 3, num_batches)
    our_images = np.array(list(sampler)).reshape(num_batches, 2, 12) % 30
    assert len(AGWSampler([*labels, *labels], [RGB] * 30 + [IR] * 30, 24, 3)) == len(draws[0].index1) // 12 == 3
    for images in (their_images, our_images):
        pids = labels[images].reshape(num_batches, 2, 4, 3)
        assert (pids == pids[..., :1]).all() and (pids[:, 0] == pids[:, 1]).all()
        assert all(len(set(row)) == 4 for row in pids[:, 0, :, 0])
        assert scipy.stats.chisquare(np.bincount(pids[:, 0, :, 0].ravel(), minlength=6)).pvalue > 1e-4
    both = [np.bincount(images.ravel(), minlength=30) for images in (their_images, our_images)]
    assert scipy.stats.chi2_contingency(both).pvalue > 1e-4
    repeated = []
    for images in (their_images, our_images):
        triples = images.reshape(-1, 3)
        kinds = np.array([len(set(triple)) for triple in triples])
        repeated.append(np.bincount(kinds, minlength=4)[1:])
    assert scipy.stats.chi2_contingency(repeated).pvalue > 1e-4
    print(f"\n{len(triples)} triples of images with 1, 2, 3 different ones: theirs {repeated[0]}, ours {repeated[1]}")


def outcomes(images, plain):
    """Counts what became of normalized images: the box that was erased, and what the channels are copies of.

    Returns:
        Erased or not (B,); the boxes' top, left, height and width (n, 4); the kind of the channels (B,): 0, 1, 2 for a
        channel in all three, 3 for the luma, 4 for no change.
    """
    fill = torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None]
    luma = (torch.tensor([0.2989, 0.5870, 0.1140])[:, None, None] * plain).sum(0)
    candidates = [torch.stack([channel] * 3) for channel in (*plain, luma)] + [plain]
    erased_luma = (torch.tensor([0.2989, 0.5870, 0.1140])[:, None, None] * fill).sum(0)
    fills = [torch.stack([channel] * 3) for channel in (*fill, erased_luma)] + [fill]
    kinds = np.full(len(images), -1)
    erased = torch.zeros(len(images), *plain.shape[1:], dtype=torch.bool)  # (B, H, W)
    for kind, (candidate, color) in enumerate(zip(candidates, fills, strict=True)):
        same = ((images - candidate).abs() < 1e-4).all(1)  # (B, H, W)
        box = ((images - color).abs() < 1e-4).all(1) & ~same
        found = (same | box).flatten(1).all(1)
        kinds[found] = kind
        erased[found] = box[found]
    assert (kinds >= 0).all()
    boxes = []
    for box in erased[erased.flatten(1).any(1)]:
        rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
        assert box.sum() == len(rows) * len(columns)
        boxes.append([int(rows[0]), int(columns[0]), len(rows), len(columns)])
    return erased.flatten(1).any(1).numpy(), np.array(boxes), kinds


@pytest.mark.parametrize("peer", ["caj"], indirect=True)
@pytest.mark.parametrize("view", ["first", "second", "infrared"])
def test_augmentations_agree_in_distribution(peer, view):
    """10,000 draws of theirs and of ours: erasing, exchange and gray, applied in their order to one normalized image."""
    from ChannelAug import ChannelAdapGray, ChannelRandomErasing
    from data_loader import ChannelExchange

    num, height, width = 10_000, 24, 12
    cfg = config.load("caj_sysu")
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (1, 3, height, width), generator=generator, dtype=torch.uint8)
    transforms = BatchTransforms(
        ["caj_erase"], cfg.data.norm_mean, cfg.data.norm_std, ir=cfg.data.transforms_ir, rgb2=cfg.data.transforms_rgb2
    )
    plain = transforms.normalize(picture)[0].contiguous()
    num_rgb = 0 if view == "infrared" else num
    ours = transforms.normalize(transforms.augment(picture.expand(num, -1, -1, -1), num_rgb, 0, 0))
    ours = ours[num:] if view == "second" else ours[:num]
    random.seed(0)
    change = {"first": [], "second": [ChannelExchange(gray=2)], "infrared": [ChannelAdapGray(probability=0.5)]}[view]
    their_transforms = torchvision.transforms.Compose([ChannelRandomErasing(probability=0.5), *change])
    theirs = torch.stack([their_transforms(plain.clone()) for _ in range(num)])
    their_erased, their_boxes, their_kinds = outcomes(theirs, plain)
    our_erased, our_boxes, our_kinds = outcomes(ours, plain)
    counts = [[int(erased.sum()), num - int(erased.sum())] for erased in (their_erased, our_erased)]
    assert scipy.stats.chi2_contingency(counts).pvalue > 1e-4
    kinds = np.array([np.bincount(found, minlength=5) for found in (their_kinds, our_kinds)])
    used = kinds.any(0)
    assert used.sum() == {"first": 1, "second": 3, "infrared": 5}[view]
    assert used.sum() == 1 or scipy.stats.chi2_contingency(kinds[:, used]).pvalue > 1e-4
    smallest = round(sqrt(0.02 * height * width * 0.3))  # of both sides
    for boxes in (their_boxes, our_boxes):
        top, left, high, wide = boxes.T
        assert smallest <= min(high.min(), wide.min()) and high.max() < height and wide.max() < width
        assert (top + high).max() == height and (left + wide).max() == width and top.min() == left.min() == 0
    for place, name in enumerate(("top", "left", "height", "width")):
        assert scipy.stats.ks_2samp(our_boxes[:, place], their_boxes[:, place]).pvalue > 1e-4, name
    print(f"\n{view}: erased {counts[0][0]} and {counts[1][0]} of {num}; channels {kinds[0]} and {kinds[1]}")


@pytest.mark.parametrize("peer", ["agw"], indirect=True)
def test_crop_and_flip_agree_in_distribution(peer):
    """10,000 draws of their transforms, which are torchvision's, and of ours: each place of the crop, and each flip."""
    num, height, width = 10_000, 5, 4
    picture = torch.arange(1, height * width + 1, dtype=torch.uint8).view(1, 1, height, width).expand(1, 3, -1, -1)
    cfg = config.load("agw_sysu")
    transforms = BatchTransforms(cfg.data.transforms, cfg.data.norm_mean, cfg.data.norm_std)
    ours = transforms.augment(picture.expand(num, -1, -1, -1), num, 0, 0)[:, 0]
    torch.manual_seed(0)
    their_transforms = torchvision.transforms.Compose(
        [
            torchvision.transforms.ToPILImage(),
            torchvision.transforms.Pad(10),
            torchvision.transforms.RandomCrop((height, width)),
            torchvision.transforms.RandomHorizontalFlip(),
            torchvision.transforms.PILToTensor(),
        ]
    )
    pixels = picture[0].permute(1, 2, 0).numpy()
    theirs = torch.stack([their_transforms(pixels)[0] for _ in range(num)])
    places = []
    for images in (theirs, ours):
        shown = [tuple(image.flatten().tolist()) for image in images]
        places.append(collections.Counter(shown))
    common = sorted(places[0].keys() | places[1].keys())
    table = np.array([[found[place] for place in common] for found in places])
    assert scipy.stats.chi2_contingency(table[:, table.sum(0) > 10]).pvalue > 1e-4
    assert len(common) > 100
    print(f"\n{len(common)} different crops and flips")
