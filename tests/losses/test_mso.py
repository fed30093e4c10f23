import math

import pytest
import torch
import torch.nn.functional as F

from torchreid_rgbir.losses import (
    ContrastiveCenterLoss,
    HeteroCenterTripletLoss,
    MSOLoss,
    PerceptualEdgeLoss,
    WeightedTripletLoss,
)
from torchreid_rgbir.models import Batch, Outputs

PARTS = ("loss_id", "loss_wrt", "loss_pef", "loss_cmcc")
NONE = {"weight_id": 0, "weight_wrt": 0, "weight_pef": 0, "weight_cmcc": 0}


def batch(seed=0, **changes):
    """What the engine passes: 2 identities x 2 images x 2 modalities, 5 classes."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    fields = {
        "logits": rand(8, 5) * 4,
        "features": rand(8, 16) * 20 - 10,
        "maps": rand(8, 64, 16, 8),
        "pids": torch.tensor([3, 3, 1, 1, 3, 3, 1, 1]),
        "images": rand(8, 3, 64, 32),
        "num_rgb": 4,
        "num_ids": 2,
        "is_balanced": True,
        "pooled": rand(8, 16),
        "featuremaps": rand(8, 16, 4, 2),
    } | changes
    outputs = Outputs(**{name: fields[name] for name in Outputs._fields})
    return outputs, Batch(**{name: fields[name] for name in Batch._fields})


def test_parts_are_the_four_losses_and_their_sum():
    b = batch()
    losses = MSOLoss(pef_weights="random")(*b)
    assert list(losses) == ["loss", *PARTS]
    torch.testing.assert_close(losses["loss_id"], F.cross_entropy(b[0].logits, b[1].pids))
    torch.testing.assert_close(losses["loss_wrt"], WeightedTripletLoss()(b[0].features, b[1].pids))
    torch.testing.assert_close(
        losses["loss_pef"], PerceptualEdgeLoss("image", "random")(b[0].maps, b[1].images, b[1].num_rgb)
    )
    torch.testing.assert_close(losses["loss_cmcc"], ContrastiveCenterLoss("soft_margin", True)(b[0].features, 2))
    torch.testing.assert_close(losses["loss"], sum(losses[name] for name in PARTS))


def test_identity_loss_by_hand():
    b = batch(logits=torch.zeros(8, 5))
    losses = MSOLoss(weight_wrt=0, weight_pef=0, weight_cmcc=0)(*b)
    assert losses["loss_id"].item() == losses["loss"].item() == pytest.approx(math.log(5))


def test_weights_scale_the_sum_and_not_the_parts():
    plain = MSOLoss(pef_weights="random")(*batch())
    weighted = MSOLoss(weight_id=0.5, weight_wrt=2.0, weight_pef=3.0, weight_cmcc=0.25, pef_weights="random")(*batch())
    for name in PARTS:
        torch.testing.assert_close(weighted[name], plain[name])
    expected = sum(w * plain[name] for w, name in zip((0.5, 2.0, 3.0, 0.25), PARTS, strict=True))
    torch.testing.assert_close(weighted["loss"], expected)


@pytest.mark.parametrize("left_out", PARTS)
def test_a_part_of_weight_zero_is_not_computed(left_out):
    weight = left_out.replace("loss", "weight")
    criterion = MSOLoss(pef_weights="random", **{weight: 0})
    # What only that part reads would break it.
    inputs = {"loss_id": "logits", "loss_pef": "images", "loss_cmcc": "num_ids"}
    b = batch(**({inputs[left_out]: None} if left_out in inputs else {}))
    losses = criterion(*b)
    assert list(losses) == ["loss", *(name for name in PARTS if name != left_out)]
    plain = MSOLoss(pef_weights="random")(*batch())
    torch.testing.assert_close(losses["loss"], plain["loss"] - plain[left_out])


def test_no_vgg_without_perceptual_edge():
    assert not list(MSOLoss(weight_pef=0).parameters())  # ImageNet weights are not looked for either


def test_nothing_of_it_is_trained():
    assert not any(p.requires_grad for p in MSOLoss(pef_weights="random").parameters())


def test_options_reach_their_losses():
    b = batch()
    criterion = MSOLoss(
        label_smooth=True, pef_entry="conv2", pef_weights="random", cmcc_form="ratio", cmcc_normalize=False
    )
    losses = criterion(*b)
    log_probs = b[0].logits.log_softmax(dim=1)
    targets = torch.full((8, 5), 0.1 / 5)
    targets[range(8), b[1].pids] += 0.9
    torch.testing.assert_close(losses["loss_id"], -(targets * log_probs).sum(dim=1).mean())
    torch.testing.assert_close(losses["loss_pef"], PerceptualEdgeLoss("conv2", "random")(b[0].maps, b[1].images, 4))
    torch.testing.assert_close(losses["loss_cmcc"], ContrastiveCenterLoss("ratio", False)(b[0].features, 2))


def test_the_losses_of_other_recipes():
    b = batch()
    losses = MSOLoss(**NONE | {"weight_id": 1.0}, weight_tri=3.0, weight_hctri=2.0, margin=0.5)(*b)
    assert list(losses) == ["loss", "loss_id", "loss_tri", "loss_hctri"]
    unit = b[0].features / b[0].features.norm(dim=1, keepdim=True)
    hinges = []
    for anchor, pid in zip(unit, b[1].pids, strict=True):
        dist = (unit - anchor).norm(dim=1)
        hinges.append(max(0.0, 0.5 + dist[b[1].pids == pid].max().item() - dist[b[1].pids != pid].min().item()))
    assert losses["loss_tri"].item() == pytest.approx(sum(hinges) / 8, rel=1e-4) and max(hinges) > 0
    torch.testing.assert_close(losses["loss_hctri"], HeteroCenterTripletLoss(0.5)(b[0].features, 2))
    torch.testing.assert_close(losses["loss"], losses["loss_id"] + 3 * losses["loss_tri"] + 2 * losses["loss_hctri"])


def test_the_squared_triplet():
    b = batch()
    losses = MSOLoss(**NONE, weight_wrt_sq=2.0)(*b)
    assert list(losses) == ["loss", "loss_wrt_sq"]
    torch.testing.assert_close(losses["loss"], 2 * WeightedTripletLoss(squared=True)(b[0].features, b[1].pids))


def test_gradients_are_finite_under_autocast_and_for_equal_features():
    criterion = MSOLoss(pef_weights="random", weight_tri=1.0, weight_hctri=1.0)
    outputs, b = batch(features=torch.ones(8, 16))
    leaves = {name: getattr(outputs, name).requires_grad_() for name in ("logits", "features", "maps")}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(outputs._replace(logits=outputs.logits.bfloat16()), b)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(leaf.grad.isfinite().all() for leaf in leaves.values())


@pytest.mark.parametrize("weights", [(0, 0, 0, 0), (1, -1, 1, 1)])
def test_senseless_weights(weights):
    with pytest.raises(ValueError, match="no weight may be negative, and one must be above 0"):
        MSOLoss(**dict(zip(NONE, weights, strict=True)), pef_weights="random")


def test_unknown_names():
    with pytest.raises(ValueError, match="form is 'margin': choose from soft_margin, ratio"):
        MSOLoss(weight_pef=0, cmcc_form="margin")
    with pytest.raises(ValueError, match="entry is 'pixels': choose from image, conv2"):
        MSOLoss(pef_entry="pixels", pef_weights="random")


def test_the_batch_of_all_processes_is_compared(monkeypatch):
    """Two processes: the other one's features are these, negated, of other identities."""
    monkeypatch.setattr("torchreid_rgbir.losses.mso.world_size", lambda: 2)

    def gather(rows, num_rgb=4):  # RGB half first, in each half the processes in order
        (rgb, ir), (rgb2, ir2) = rows.chunk(2), (rows + 10 if rows.dim() == 1 else -rows).chunk(2)
        return torch.cat([rgb, rgb2, ir, ir2])

    monkeypatch.setattr("torchreid_rgbir.losses.mso.gather_batch", gather)
    b = batch()
    found = MSOLoss(weight_pef=0, gather_features=True)(*b)
    features, pids = gather(b[0].features), gather(b[1].pids)
    torch.testing.assert_close(found["loss_wrt"], WeightedTripletLoss()(features, pids))
    torch.testing.assert_close(found["loss_cmcc"], ContrastiveCenterLoss("soft_margin", True)(features, 4))
    torch.testing.assert_close(found["loss_id"], F.cross_entropy(b[0].logits, b[1].pids))  # of its own images alone
    assert found["loss_wrt"] != MSOLoss(weight_pef=0)(*b)["loss_wrt"]


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(TypeError, match="MSOLoss has no setting 'weight_edge': choose from .*weight_pef"):
        MSOLoss(weight_edge=1.0)


@pytest.mark.parametrize("loss", ["cmcc", "hctri"])
def test_a_loss_of_aligned_halves_refuses_other_batches(loss):
    criterion = MSOLoss(**NONE | {f"weight_{loss}": 1.0})
    outputs, b = batch(num_rgb=5)
    with pytest.raises(
        ValueError, match="compares the RGB half of a batch with its IR half: got 5 RGB images and 3 IR"
    ):
        criterion(outputs, b)
    MSOLoss(**NONE | {"weight_wrt": 1.0})(outputs, b)  # the weighted triplet loss takes any mixture
