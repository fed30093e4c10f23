import math

import pytest
import torch

from torchreid_rgbir.losses import MSOLoss, WeightedTripletLoss, weighted_triplet
from torchreid_rgbir.losses.weighted_triplet import public_weighted_triplet
from torchreid_rgbir.models import Batch, Outputs


def naive(features, pids, squared=False):
    """The formula, anchor by anchor; an empty sum is 0. Squared: CAJ's, whose difference is squared, and negative where the negatives are farther."""
    rows, total = features.tolist(), 0.0
    for i, anchor in enumerate(rows):
        positives = [math.dist(anchor, row) for j, row in enumerate(rows) if pids[j] == pids[i] and j != i]
        negatives = [math.dist(anchor, row) for j, row in enumerate(rows) if pids[j] != pids[i]]
        far = sum(math.exp(d) * d for d in positives) / sum(math.exp(d) for d in positives) if positives else 0.0
        near = sum(math.exp(-d) * d for d in negatives) / sum(math.exp(-d) for d in negatives) if negatives else 0.0
        difference = far - near
        if squared:
            difference = difference**2 if far > near else -(difference**2)
        total += math.log(1 + math.exp(difference))
    return total / len(rows)


def naive_public(features, pids, squared=False):
    """The authors' code, anchor by anchor, with the anchor among its positives."""
    rows, total = features.tolist(), 0.0
    for i, anchor in enumerate(rows):
        dist = [max(math.dist(anchor, row), 1e-6) for row in rows]
        same = [pid == pids[i] for pid in pids]
        largest = max(d * s for d, s in zip(dist, same, strict=True))
        far = [math.exp(d - largest) for d, s in zip(dist, same, strict=True) if s]
        near = [math.exp(-d) for d, s in zip(dist, same, strict=True) if not s]
        far_mean = sum(w * d for w, d in zip(far, [d for d, s in zip(dist, same, strict=True) if s], strict=True))
        near_mean = sum(w * d for w, d in zip(near, [d for d, s in zip(dist, same, strict=True) if not s], strict=True))
        difference = far_mean / (sum(far) + 1e-6) - near_mean / (sum(near) + 1e-6)
        if squared:
            difference = math.copysign(min(difference**2, 88), difference)
        total += math.log(1 + math.exp(difference))
    return total / len(rows)


def batch(seed, num_ids=4, per_id=4, dim=16, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_ids * per_id, dim, generator=generator, dtype=torch.float64) * scale
    return features, torch.arange(num_ids).repeat_interleave(per_id // 2).repeat(2)


@pytest.mark.parametrize("scale", [0.01, 0.2, 1.0, 3.0, 20.0])
def test_equals_the_formula_at_every_scale(scale):
    for seed in range(3):
        features, pids = batch(seed, scale=scale)
        assert weighted_triplet(features, pids).item() == pytest.approx(naive(features, pids), rel=1e-9)


@pytest.mark.parametrize("scale", [0.01, 0.2, 1.0, 3.0])
def test_the_squared_form_keeps_the_sign(scale):
    for seed in range(3):
        features, pids = batch(seed, scale=scale)
        squared = weighted_triplet(features, pids, squared=True).item()
        assert squared == pytest.approx(naive(features, pids, squared=True), rel=1e-9)
    apart, pids = torch.eye(4, dtype=torch.float64).repeat_interleave(2, 0) * 3, torch.arange(4).repeat_interleave(2)
    gap = 3 * math.sqrt(2)  # positives at 0, negatives all at the same distance
    assert weighted_triplet(apart, pids).item() == pytest.approx(math.log(1 + math.exp(-gap)))
    assert weighted_triplet(apart, pids, squared=True).item() == pytest.approx(math.log(1 + math.exp(-(gap**2))))
    mixed_up = torch.tensor([0, 1] * 4)[:8]
    together = torch.eye(2, dtype=torch.float64).repeat_interleave(4, 0) * 3
    assert weighted_triplet(together, mixed_up, squared=True).item() == pytest.approx(
        naive(together, mixed_up, squared=True)
    )


def test_large_distances_keep_their_negative_weights():
    features, pids = batch(5, num_ids=8, per_id=8, dim=2048)
    features *= 16.7 / torch.pdist(features).mean()
    loss = weighted_triplet(features.float(), pids).item()
    assert loss == pytest.approx(naive(features, pids), rel=1e-5)
    assert loss < 1  # it is above 4 where the softmax of the negatives vanishes


def test_equal_distances_give_log_2():
    corners = torch.eye(6, dtype=torch.float64)  # all pairs at the same distance
    assert weighted_triplet(corners * 7, torch.tensor([0, 1, 2, 0, 1, 2])).item() == pytest.approx(math.log(2))


def test_identical_features_give_log_2_and_a_finite_gradient():
    features = torch.ones(8, 5, requires_grad=True)
    loss = weighted_triplet(features, batch(0, 2, 4)[1])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2)) and features.grad.isfinite().all()


def test_four_points_on_a_line():
    features = torch.tensor([[0.0], [1.0], [3.0], [4.0]], dtype=torch.float64)
    ends = (3 * math.exp(-3) + 4 * math.exp(-4)) / (math.exp(-3) + math.exp(-4))
    middle = (2 * math.exp(-2) + 3 * math.exp(-3)) / (math.exp(-2) + math.exp(-3))
    expected = (math.log(1 + math.exp(1 - ends)) + math.log(1 + math.exp(1 - middle))) / 2
    assert weighted_triplet(features, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(expected)


@pytest.mark.parametrize("pids", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 1]])
def test_empty_sums_are_zero(pids):
    features = batch(3, 2, 2)[0].requires_grad_()
    loss = weighted_triplet(features, torch.tensor(pids))
    loss.backward()
    assert loss.item() == pytest.approx(naive(features.detach(), pids))
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("squared", [False, True])
def test_gradient(squared):
    features, pids = batch(1, num_ids=3, per_id=2, dim=4)
    assert torch.autograd.gradcheck(lambda f: weighted_triplet(f, pids, squared), features.requires_grad_())


def test_order_of_the_batch_does_not_matter():
    features, pids = batch(2)
    order = torch.randperm(len(pids), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(weighted_triplet(features[order], pids[order]), weighted_triplet(features, pids))


def test_module_normalizes():
    features, pids = batch(4)
    unit = features / features.norm(dim=1, keepdim=True)
    assert WeightedTripletLoss()(features * 30, pids).item() == pytest.approx(naive(unit, pids))
    assert WeightedTripletLoss(squared=True)(features * 30, pids).item() == pytest.approx(
        naive(unit, pids, squared=True)
    )


def test_autocast_does_not_round():
    features, pids = (value.float() if value.is_floating_point() else value for value in batch(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(weighted_triplet(features, pids), weighted_triplet(features.clone(), pids))
        loss = weighted_triplet(features.bfloat16(), pids)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(features.bfloat16().double(), pids), rel=1e-5)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("scale", [0.01, 0.2, 1.0, 3.0, 20.0])
def test_the_public_form_is_the_authors_code_at_every_scale(scale, squared):
    for seed in range(3):
        features, pids = batch(seed, scale=scale)
        loss = public_weighted_triplet(features, pids, squared).item()
        assert loss == pytest.approx(naive_public(features, pids, squared), rel=1e-7)


def test_the_public_forms_negatives_vanish_at_large_distances():
    features, pids = batch(5, num_ids=8, per_id=8, dim=2048)
    features *= 30 / torch.pdist(features).mean()
    assert weighted_triplet(features, pids) < 1 < 20 < public_weighted_triplet(features, pids)
    features *= 10
    assert 200 < public_weighted_triplet(features.float(), pids) < math.inf  # infinite in the authors' code
    assert public_weighted_triplet(features, pids, squared=True) == pytest.approx(88)


@pytest.mark.parametrize("squared", [False, True])
def test_gradient_of_the_public_form(squared):
    features, pids = batch(1, num_ids=3, per_id=2, dim=4)
    assert torch.autograd.gradcheck(lambda f: public_weighted_triplet(f, pids, squared), features.requires_grad_())
    features = torch.ones(8, 5, requires_grad=True)
    public_weighted_triplet(features, batch(0, 2, 4)[1], squared).backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("name", ["wrt", "wrt_sq"])
def test_form_and_features_are_options(name):
    features, pids = batch(3)
    pooled = batch(4)[0]
    outputs = Outputs(features, features, pooled, features, features)
    inputs = Batch(features, pids, len(pids) // 2, 4)
    weights = {"weight_id": 0, "weight_wrt": 0, "weight_pef": 0, "weight_cmcc": 0, f"weight_{name}": 1}
    unit, squared = features / features.norm(dim=1, keepdim=True), name == "wrt_sq"
    for form, loss in (("formula", naive), ("public", naive_public)):
        for kind, compared in (("unit", unit), ("pooled", pooled)):
            options = {f"{name}_form": form, f"{name}_features": kind}
            value = MSOLoss(**weights, **options)(outputs, inputs)["loss"].item()
            assert value == pytest.approx(loss(compared, pids, squared), rel=1e-6)
