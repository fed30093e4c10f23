import pytest
import torch

from torchreid_rgbir.models import GeM, gem


def naive(maps, p, eps):
    batch, channels, height, width = maps.shape
    pooled = torch.zeros(batch, channels, dtype=maps.dtype)
    for b in range(batch):
        for c in range(channels):
            total = 0.0
            for y in range(height):
                for x in range(width):
                    total += max(maps[b, c, y, x].item(), eps) ** p
            pooled[b, c] = (total / (height * width)) ** (1 / p)
    return pooled


def maps_of(seed, shape=(2, 3, 4, 5), dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_equals_the_mean_of_powers():
    for seed, p in enumerate((1.0, 2.5, 3.0, 6.0)):
        torch.testing.assert_close(gem(maps_of(seed), p), naive(maps_of(seed), p, 1e-6))


def test_between_mean_and_maximum():
    maps = maps_of(0).abs()
    torch.testing.assert_close(gem(maps, 1.0), maps.mean(dim=(2, 3)))
    torch.testing.assert_close(gem(maps, 400.0), maps.amax(dim=(2, 3)), rtol=0.01, atol=0)
    assert (gem(maps, 3.0) > maps.mean(dim=(2, 3))).all()


def test_gradient_reaches_maps_and_exponent():
    maps = maps_of(1).abs().add(0.1).requires_grad_()
    p = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gem, (maps, p))


def test_module_starts_at_three_with_one_exponent():
    module = GeM()
    assert [tuple(p.shape) for p in module.parameters()] == [(1,)]
    torch.testing.assert_close(module(maps_of(2, dtype=torch.float32)), gem(maps_of(2, dtype=torch.float32), 3.0))


def test_reduced_precision_is_pooled_in_float32():
    maps = torch.full((1, 1, 2, 2), 50.0, dtype=torch.float16)  # 50 ** 3 is beyond float16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = GeM()(maps)
    assert pooled.dtype == gem(maps, 3.0).dtype == torch.float32
    assert gem(maps.double(), 3.0).dtype == torch.float64
    torch.testing.assert_close(pooled, torch.full((1, 1), 50.0))
    torch.testing.assert_close(gem(maps, 3.0), torch.full((1, 1), 50.0))


def test_all_negative_map_is_finite():
    maps = (-torch.ones(1, 2, 3, 3)).requires_grad_()
    module = GeM()
    module(maps).sum().backward()
    torch.testing.assert_close(gem(maps, 3.0), torch.full((1, 2), 1e-6))
    assert maps.grad.isfinite().all() and module.p.grad.isfinite().all()


@pytest.mark.parametrize("p", [0.5, 8.0, 22.0, 100.0])
@pytest.mark.parametrize("value", [0.0, 1e-5, 60.0, 1e4])
def test_any_exponent_and_any_size_of_map_is_finite(p, value):
    maps = torch.full((1, 2, 3, 3), value).requires_grad_()
    maps.data[0, 1] *= torch.linspace(0, 1, 9).view(3, 3)
    module = GeM(p)
    module(maps).sum().backward()
    assert module(maps).isfinite().all() and maps.grad.isfinite().all() and module.p.grad.isfinite().all()
