"""The retrieval loss of MCJA against loops, brute force and the authors' code."""

import itertools

import pytest
import torch

from torchreid_rgbir.losses.cross_modality_retrieval import cross_modality_retrieval, non_increasing_fit, soft_rank


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_fit(values):
    """Pools neighbors that increase until none do, one row."""
    blocks = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and sum(blocks[-2]) / len(blocks[-2]) < sum(blocks[-1]) / len(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [sum(block) / len(block) for block in blocks for _ in block]


@pytest.mark.parametrize("num", [1, 2, 7, 40])
def test_the_fit_is_that_of_pooling_neighbors(num):
    rows = random(20, num, seed=num)
    expected = torch.tensor([naive_fit(row) for row in rows.tolist()])
    assert torch.allclose(non_increasing_fit(rows), expected.double(), atol=1e-12)


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5, 2.0])
def test_soft_ranks_are_the_nearest_point_of_the_permutahedron(strength):
    # A point of the permutahedron is nearest if no corner, which is a permutation, lies more in the direction to the target.
    target = random(30, 5, seed=3) / strength
    ranks = soft_rank(target * strength, strength)
    corners = torch.tensor(list(itertools.permutations(range(1, 6))), dtype=torch.float64)  # (120, 5)
    gains = ((target - ranks)[:, None] * (corners - ranks[:, None])).sum(dim=2)
    assert gains.max() < 1e-9
    assert torch.allclose(ranks.sum(dim=1), torch.tensor(15.0, dtype=torch.float64))
    sums = ranks.sort(dim=1).values.cumsum(dim=1)  # inside: the k smallest are at least 1 + ... + k
    assert (sums + 1e-9 >= torch.tensor([1, 3, 6, 10, 15])).all()


def test_a_small_strength_gives_the_ranks():
    assert soft_rank(torch.tensor([[0.3, 0.1, 0.9, 0.5]]), 1e-3).tolist() == [[2, 1, 4, 3]]


def test_the_gradient_of_soft_ranks():
    values = random(4, 6, seed=1).requires_grad_()
    for strength in (0.05, 0.3, 2.0):
        assert torch.autograd.gradcheck(lambda v, s=strength: soft_rank(v, s), values)


def naive_loss(features, pids, num_rgb):
    unit = features / features.norm(dim=1, keepdim=True)
    losses = []
    for own, other in ((range(num_rgb), range(num_rgb, len(pids))), (range(num_rgb, len(pids)), range(num_rgb))):
        differences = []
        for query in own:
            match = [bool(pids[query] == pids[i]) for i in other]
            if any(match) and not all(match):
                dist = torch.stack([(1 - (unit[query] * unit[i]).sum()) / 2 for i in other])
                ranks = soft_rank(dist[None], 0.5)[0].tolist()
                differences += [abs(r - (1 if m else len(match))) for r, m in zip(ranks, match, strict=True)]
        if differences:
            losses.append(sum(differences) / len(differences))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize(
    ("pids", "num_rgb"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], 4),
        ([0, 0, 0, 1, 2, 0, 1, 1, 1, 2], 4),
        ([0, 1, 2, 0, 0, 0], 3),  # RGB images 1 and 2 have no match, and no IR image has only matches
        ([0, 1, 0], 2),  # the RGB images have only matches or none
        ([0, 0, 0, 0], 2),  # no image counts
    ],
)
def test_equals_the_loop(pids, num_rgb):
    features = random(len(pids), 6) - 0.4
    loss = cross_modality_retrieval(features, torch.tensor(pids), num_rgb)
    assert loss.item() == pytest.approx(naive_loss(features, torch.tensor(pids), num_rgb), rel=1e-12)


@pytest.mark.parametrize("num_rgb", [0, 4])
def test_one_modality_costs_nothing(num_rgb):
    features = random(4, 6).requires_grad_()
    loss = cross_modality_retrieval(features, torch.tensor([0, 0, 1, 1]), num_rgb)
    loss.backward()
    assert loss.item() == 0 and features.grad.count_nonzero() == 0


def by_formula():
    i = torch.arange(12, dtype=torch.float64)[:, None]
    return torch.sin(i * 1.3 + torch.arange(8) * 0.7 + i * torch.arange(8) * 0.11)


def test_the_value_and_the_gradient_of_the_authors_code():
    # From workingcoder/MCJA at commit efc1ffe with torchsort 0.1.10, in double precision.
    features = by_formula().requires_grad_()
    pids = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, 1, 1, 2, 3])
    loss = cross_modality_retrieval(features, pids, num_rgb=7)
    loss.backward()
    assert loss.item() == pytest.approx(2.4846226125169992, rel=1e-12)
    assert features.grad.norm().item() == pytest.approx(0.12384656266838447, rel=1e-12)
    assert features.grad[0, 0].item() == pytest.approx(-0.009026388215203815, rel=1e-9)
