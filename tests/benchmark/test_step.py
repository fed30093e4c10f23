import math

import pytest
import torch

from torchreid_rgbir.benchmark.step import count_operations, naive_perceptual_edge, step
from torchreid_rgbir.losses import PerceptualEdgeLoss

RATIOS = {
    "step_over_torchreid",
    "pef_image_over_without",
    "pef_conv2_over_without",
    "cmcc_wrt_over_id",
    "naive_pef_over_ours",
    "channels_last_gain",
    "bf16_gain",
    "pef_image_over_without_bf16",
}


def test_every_ratio_of_a_small_step():
    threads = torch.get_num_threads()
    measured = step(height=64, width=32, batch_size=16, rounds=1, model="dual_resnet18", threads=1)
    assert torch.get_num_threads() == threads
    assert set(measured["ratios"]) == RATIOS
    assert all(math.isfinite(ratio) and ratio > 0 for ratio in measured["ratios"].values())
    assert {name: (ratio, ratio) for name, ratio in measured["ratios"].items()} == measured["spread"]  # one round
    medians = measured["medians"]
    assert measured["images_per_second"]["forward"] == pytest.approx(16 / medians["forward"])
    assert medians["forward"] < medians["id_wrt_cmcc"]
    (limit, _), step_seconds = measured["limits"]["id_wrt_cmcc"], medians["id_wrt_cmcc"]
    assert step_seconds / 1000 < limit < step_seconds
    assert 100e6 < measured["memory"]["steps_peak"] < 100e9
    assert measured["ratios"]["pef_conv2_over_without"] == pytest.approx(medians["pef_conv2"] / medians["id_wrt_cmcc"])
    in_half = measured["ratios"]["pef_image_over_without_bf16"]
    assert in_half == pytest.approx(medians["pef_image_bf16"] / medians["id_wrt_cmcc_bf16"])


def test_operations_grow_with_the_batch_and_the_image():
    small = count_operations(64, 32, 16, "dual_resnet18")
    # ResNet-18 takes 1.8e9 multiplications for an image of 224 x 224. Forward and backward pass take three times as many,
    # and each comes with an addition. The last stride of 1 adds to that.
    assert small == pytest.approx(2 * 3 * 1.8e9 * 16 * (64 * 32) / 224**2, rel=0.8)
    assert count_operations(64, 32, 32, "dual_resnet18") == pytest.approx(2 * small, rel=0.01)
    assert count_operations(128, 32, 16, "dual_resnet18") == pytest.approx(2 * small, rel=0.01)


@pytest.mark.parametrize("entry", ["image", "conv2"])
def test_the_usual_edge_loss_has_our_value_and_gradient(entry):
    torch.manual_seed(0)
    loss = PerceptualEdgeLoss(entry, "random")
    images, maps = torch.rand(4, 3, 64, 32), torch.rand(4, 64, 16, 8, requires_grad=True)
    ours = loss(maps, images, 1)
    naive = naive_perceptual_edge(maps, images, 1, loss.vgg)
    torch.testing.assert_close(naive, ours, rtol=1e-4, atol=1e-6)
    gradients = [torch.autograd.grad(value, maps)[0] for value in (ours, naive)]
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-7)


def test_wrong_calls():
    with pytest.raises(ValueError, match="multiple of 8, at least 16"):
        step(batch_size=20)
    with pytest.raises(ValueError, match="'resnet50' is unknown"):
        step(model="resnet50")
