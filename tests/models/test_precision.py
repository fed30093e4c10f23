import torch

from torchreid_rgbir.models.precision import full_precision, unit_length


@full_precision
def product(a, b, scale=1):
    assert not torch.is_autocast_enabled("cpu")
    return (a @ b) * scale


def test_half_types_become_float32():
    a = torch.full((1, 1), 1 / 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = product(a, b=a, scale=3.0)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, a.float() * a.float() * 3)


def test_wider_types_and_others_stay():
    a = torch.ones(1, 1, dtype=torch.float64)
    assert product(a, a).dtype == torch.float64
    assert product(a.long(), a.long()).dtype == torch.int64


def test_autocast_is_as_before_afterwards():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product(torch.ones(1, 1), torch.ones(1, 1))
        assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.bfloat16


def test_unit_length():
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit = unit_length(features)
    torch.testing.assert_close(unit, torch.tensor([[3 / 5, 4 / 5], [0.0, 0.0]]))
    unit.sum().backward()
    assert features.grad.isfinite().all()
