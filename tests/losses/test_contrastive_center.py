import math

import pytest
import torch

from torchreid_rgbir.losses import ContrastiveCenterLoss, contrastive_center


def naive(features, num_ids, form, eps=1e-6):
    rows = features.tolist()
    half, k = len(rows) // 2, len(rows) // (2 * num_ids)

    def mean(vectors):
        return [sum(values) / len(vectors) for values in zip(*vectors, strict=True)]

    rgb = [mean(rows[i * k : (i + 1) * k]) for i in range(num_ids)]
    ir = [mean(rows[half + i * k : half + (i + 1) * k]) for i in range(num_ids)]
    centers = [mean([a, b]) for a, b in zip(rgb, ir, strict=True)]
    intra = [math.dist(a, b) for a, b in zip(rgb, ir, strict=True)]
    nearest = min(math.dist(centers[i], centers[j]) for i in range(num_ids) for j in range(num_ids) if i != j)
    if form == "ratio":
        return sum(d / (nearest + eps) for d in intra) / num_ids
    return sum(math.log(1 + math.exp(d - nearest)) for d in intra) / num_ids


def batch(seed, num_ids=4, per_modality=3, dim=8, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * num_ids * per_modality, dim, generator=generator, dtype=torch.float64) * scale


@pytest.mark.parametrize("form", ["soft_margin", "ratio"])
@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_equals_the_formula(form, scale):
    for seed, (num_ids, per_modality) in enumerate([(2, 1), (4, 3), (8, 4)]):
        features = batch(seed, num_ids, per_modality, scale=scale)
        loss = contrastive_center(features, num_ids, form).item()
        assert loss == pytest.approx(naive(features, num_ids, form), rel=1e-9)


# Identity a: RGB images at (0, 0) and (0, 2), IR at (2, 1) twice; identity b: RGB at (5, 5), IR at (5, 1).
# Centers of a: (0, 1) and (2, 1), 2 apart, together (1, 1); of b: 4 apart, together (5, 3). They are sqrt(20) apart.
TWO = torch.tensor([[0, 0], [0, 2], [5, 5], [5, 5], [2, 1], [2, 1], [5, 1], [5, 1]], dtype=torch.float64)


def test_two_identities_by_hand():
    m = math.sqrt(20)
    assert contrastive_center(TWO, 2, "ratio").item() == pytest.approx((2 + 4) / 2 / m, rel=1e-6)
    soft = (math.log(1 + math.exp(2 - m)) + math.log(1 + math.exp(4 - m))) / 2
    assert contrastive_center(TWO, 2, "soft_margin").item() == pytest.approx(soft)


def test_the_minimum_is_over_all_pairs():
    # Four identities on a line, both modalities at the same place but for 1 across: centers at 0, 10, 13, 30, so m is 3.
    places = torch.tensor([[0.0, 0], [10, 0], [13, 0], [30, 0]], dtype=torch.float64)
    features = torch.cat([places, places + torch.tensor([0.0, 1.0], dtype=torch.float64)])
    assert contrastive_center(features, 4, "ratio").item() == pytest.approx(1 / 3, rel=1e-6)
    assert contrastive_center(features, 4).item() == pytest.approx(math.log(1 + math.exp(1 - 3)))


def test_equal_centers_give_log_2_and_a_finite_gradient():
    for form, value in (("soft_margin", math.log(2)), ("ratio", 0.0)):
        features = torch.ones(8, 3, requires_grad=True)
        loss = contrastive_center(features, 2, form)
        loss.backward()
        assert loss.item() == pytest.approx(value) and features.grad.isfinite().all()


@pytest.mark.parametrize("form", ["soft_margin", "ratio"])
def test_gradient(form):
    features = batch(2, num_ids=3, per_modality=2, dim=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: contrastive_center(f, 3, form), features)


def test_order_of_images_identities_and_modalities_does_not_matter():
    features = batch(3)
    blocks = features.view(2, 4, 3, -1)
    moved = blocks.flip(0)[:, [2, 0, 3, 1]][:, :, [1, 2, 0]].reshape(features.shape)
    torch.testing.assert_close(contrastive_center(moved, 4), contrastive_center(features, 4))


def test_module_normalizes_when_asked():
    features = batch(4, scale=20)
    unit = features / features.norm(dim=1, keepdim=True)
    assert ContrastiveCenterLoss()(features, 4).item() == pytest.approx(naive(unit, 4, "soft_margin"))
    raw = ContrastiveCenterLoss("ratio", normalize=False)
    assert raw(features, 4).item() == pytest.approx(naive(features, 4, "ratio"))


def test_wrong_calls():
    with pytest.raises(ValueError, match="expected 2 or more"):
        contrastive_center(batch(0, num_ids=1), 1)
    with pytest.raises(ValueError, match="24 features are not 2 modalities x 5"):
        contrastive_center(batch(0), 5)
    with pytest.raises(ValueError, match="'margin' is unknown"):
        contrastive_center(batch(0), 4, "margin")
    with pytest.raises(ValueError, match="'margin' is unknown"):
        ContrastiveCenterLoss("margin")


def test_autocast_does_not_round():
    features = batch(6).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ContrastiveCenterLoss(normalize=False)(features, 4)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(features.double(), 4, "soft_margin"), rel=1e-5)
