import math

import pytest
import torch

from torchreid_rgbir.losses import HeteroCenterTripletLoss, hetero_center_triplet


def naive(features, num_ids, margin=0.3):
    """The paper's two sums, center by center, over the number of centers."""
    rows = features.tolist()
    half, k = len(rows) // 2, len(rows) // (2 * num_ids)

    def mean(vectors):
        return [sum(values) / len(vectors) for values in zip(*vectors, strict=True)]

    visible = [mean(rows[i * k : (i + 1) * k]) for i in range(num_ids)]
    thermal = [mean(rows[half + i * k : half + (i + 1) * k]) for i in range(num_ids)]
    total = 0.0
    for own, other in ((visible, thermal), (thermal, visible)):
        for i in range(num_ids):
            negatives = [math.dist(own[i], n[j]) for n in (visible, thermal) for j in range(num_ids) if j != i]
            total += max(0.0, margin + math.dist(own[i], other[i]) - min(negatives))
    return total / (2 * num_ids)


def batch(seed, num_ids=4, per_modality=3, dim=8, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * num_ids * per_modality, dim, generator=generator, dtype=torch.float64) * scale


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_equals_the_formula(margin, scale):
    for seed, (num_ids, per_modality) in enumerate([(2, 1), (4, 3), (8, 4)]):
        features = batch(seed, num_ids, per_modality, scale=scale)
        loss = hetero_center_triplet(features, num_ids, margin).item()
        assert loss == pytest.approx(naive(features, num_ids, margin), rel=1e-9)
        assert loss > 0 or margin == 0


# Identity a: RGB images at (0, 0) and (0, 2), IR at (2, 1) twice; identity b: RGB at (5, 5), IR at (5, 1).
# Centers of a: (0, 1) and (2, 1), 2 apart; of b: (5, 5) and (5, 1), 4 apart. Nearest foreign center of (0, 1): (5, 1), 5 away; of (2, 1): (5, 1), 3;
# of (5, 5): (2, 1), 5; of (5, 1): (2, 1), 3.
TWO = torch.tensor([[0, 0], [0, 2], [5, 5], [5, 5], [2, 1], [2, 1], [5, 1], [5, 1]], dtype=torch.float64)


def test_two_identities_by_hand():
    assert hetero_center_triplet(TWO, 2, margin=0).item() == pytest.approx((0 + 0 + 0 + 1) / 4)
    assert hetero_center_triplet(TWO, 2, margin=2).item() == pytest.approx((0 + 1 + 1 + 3) / 4)


def test_the_nearest_center_of_the_same_modality_counts_too():
    # RGB centers at 0 and 1, IR centers at 10 and 20, on a line: the RGB ones are each other's negatives.
    features = torch.tensor([[0.0], [1.0], [10.0], [20.0]], dtype=torch.float64)
    expected = ((10 - 1) + (19 - 1) + (10 - 9) + (19 - 10)) / 4
    assert hetero_center_triplet(features, 2, margin=0).item() == pytest.approx(expected)


def test_separate_identities_cost_nothing():
    places = torch.eye(4, dtype=torch.float64) * 10
    assert hetero_center_triplet(torch.cat([places, places + 0.1]), 4).item() == 0


def test_equal_features_give_the_margin_and_a_finite_gradient():
    features = torch.ones(8, 3, requires_grad=True)
    loss = hetero_center_triplet(features, 2, margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3) and features.grad.isfinite().all()


def test_gradient():
    features = batch(2, num_ids=3, per_modality=2, dim=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: hetero_center_triplet(f, 3, 1.0), features)


def test_order_of_images_identities_and_modalities_does_not_matter():
    features = batch(3)
    blocks = features.view(2, 4, 3, -1)
    moved = blocks.flip(0)[:, [2, 0, 3, 1]][:, :, [1, 2, 0]].reshape(features.shape)
    torch.testing.assert_close(hetero_center_triplet(moved, 4), hetero_center_triplet(features, 4))


def test_module_normalizes():
    features = batch(4, scale=20)
    unit = features / features.norm(dim=1, keepdim=True)
    assert HeteroCenterTripletLoss(0.5)(features, 4).item() == pytest.approx(naive(unit, 4, 0.5))


def test_wrong_calls():
    with pytest.raises(ValueError, match="expected 2 or more"):
        hetero_center_triplet(batch(0, num_ids=1), 1)
    with pytest.raises(ValueError, match="24 features are not 2 modalities x 5"):
        hetero_center_triplet(batch(0), 5)


def test_autocast_does_not_round():
    features = batch(6).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = hetero_center_triplet(features, 4)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(features.double(), 4), rel=1e-5)
