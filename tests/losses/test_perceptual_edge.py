import numpy as np
import pytest
import torch

from torchreid_rgbir.losses import PerceptualEdgeLoss, perceptual_edge
from torchreid_rgbir.losses.perceptual_edge import at_most_quarter, check_maps
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.models import dual_resnet18

ENTRIES = ("image", "conv2")


@pytest.fixture(scope="module")
def stages():
    return {entry: VGGStages(entry, "random").double() for entry in ENTRIES}


def batch(seed, size=4):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(size, 64, 16, 8, generator=generator, dtype=torch.float64).relu()
    return maps, torch.rand(size, 1, 16, 8, generator=generator, dtype=torch.float64) * 4


def scaled(values):
    return (values - values.min()) / (values.max() - values.min())


def naive_entry(entry, one, normalize):
    """One image's map (C, h, w) as VGG's first used convolution gets it, every channel spelled out."""
    if entry == "conv2":
        return (scaled(one) if normalize else one).repeat(64 // len(one), 1, 1)
    gray = sum(one) / len(one)
    if normalize:
        gray = scaled(gray)
    return torch.stack([(gray - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)])


def naive(entry, maps, edges, vgg, normalize=True):
    """PEF of one modality: image by image, stage by stage."""
    total = 0.0
    for z, e in zip(maps, edges, strict=True):
        phi_z, phi_e = (vgg.first(naive_entry(entry, one, normalize)[None]) for one in (z, e))
        for stage in vgg.stages:
            phi_z, phi_e = stage(phi_z.clone()), stage(phi_e.clone())
            _, channels, height, width = phi_z.shape
            total += ((phi_z - phi_e) ** 2).sum().item() / (channels * height * width)
    return total / len(maps)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("num_rgb", [1, 2, 3])
def test_equals_the_loop_and_adds_the_modalities(entry, num_rgb, stages):
    maps, edges = batch(num_rgb)
    vgg = stages[entry]
    expected = naive(entry, maps[:num_rgb], edges[:num_rgb], vgg) + naive(entry, maps[num_rgb:], edges[num_rgb:], vgg)
    assert perceptual_edge(maps, edges, num_rgb, vgg).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("entry", ENTRIES)
def test_maps_and_edges_as_they_are(entry):
    maps, edges = batch(8)
    vgg = VGGStages(entry, "random", normalize=False).double()
    expected = naive(entry, maps[:2], edges[:2], vgg, False) + naive(entry, maps[2:], edges[2:], vgg, False)
    assert perceptual_edge(maps, edges, 2, vgg).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("num_rgb", [0, 4])
def test_a_missing_modality_adds_nothing(num_rgb, stages):
    maps, edges = batch(4)
    expected = naive("image", maps, edges, stages["image"])
    assert perceptual_edge(maps, edges, num_rgb, stages["image"]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("entry", ENTRIES)
def test_maps_that_show_the_edges_give_zero(entry, stages):
    _, edges = batch(5)
    maps = edges.repeat(1, 64, 1, 1).requires_grad_()
    loss = perceptual_edge(maps * 3 + 1, edges, 2, stages[entry])  # scale and offset do not count
    loss.backward()
    assert loss.item() < 1e-12 and maps.grad.isfinite().all()
    assert perceptual_edge(batch(5)[0], edges, 2, stages[entry]).item() > 1e-3


@pytest.mark.parametrize("entry", ENTRIES)
def test_gradient_through_the_maps(entry, stages):
    maps, edges = batch(6, size=2)
    generator = torch.Generator().manual_seed(1)
    # Without the ties of a rectified map, whose minimum has a kink.
    maps += torch.rand(maps.shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(maps.shape, generator=generator, dtype=torch.float64)
    maps.requires_grad_()
    perceptual_edge(maps, edges, 1, stages[entry]).backward()
    step = 1e-7
    with torch.no_grad():
        ahead = perceptual_edge(maps + step * direction, edges, 1, stages[entry])
        behind = perceptual_edge(maps - step * direction, edges, 1, stages[entry])
    numeric = ((ahead - behind) / (2 * step)).item()
    assert (maps.grad * direction).sum().item() == pytest.approx(numeric, rel=1e-4)


def test_order_within_a_modality_does_not_matter(stages):
    maps, edges = batch(7)
    order = [1, 0, 3, 2]
    torch.testing.assert_close(
        perceptual_edge(maps[order], edges[order], 2, stages["image"]), perceptual_edge(maps, edges, 2, stages["image"])
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_reaches_both_layer0s_and_nothing_else(entry):
    torch.manual_seed(0)
    model = dual_resnet18(3, loss="mso", pretrained=False).train()
    loss = PerceptualEdgeLoss(entry, "random")
    images = torch.rand(4, 3, 64, 32)
    maps = model((images - 0.45) / 0.25, 2).maps
    loss(maps, images, 2).backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith("layer0.")}
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())


def naive_edges(image):
    """Sobel's four directions at every pixel of one image (3, H, W), averaged over areas of 4 x 4 pixels."""
    gray = (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]).numpy()
    height, width = gray.shape
    padded = np.pad(gray, 1, mode="edge")
    strength = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            (a, b, c), (d, _, f), (g, h, i) = padded[y : y + 3, x : x + 3]
            horizontal, vertical = (c + 2 * f + i) - (a + 2 * d + g), (g + 2 * h + i) - (a + 2 * b + c)
            rising, falling = (b + 2 * c + f) - (d + 2 * g + h), (f + 2 * i + h) - (b + 2 * a + d)
            strength[y, x] = (horizontal**2 + vertical**2 + rising**2 + falling**2) ** 0.5
    return torch.from_numpy(strength.reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3)))


def test_module_compares_with_the_edges_of_the_images():
    """Maps that show the edges, as a plain loop finds them, cost nothing; the edges of other images do."""
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = PerceptualEdgeLoss("image", "random").double()
    maps = torch.stack([naive_edges(image) for image in images])[:, None].repeat(1, 64, 1, 1)
    assert loss(maps, images, 2).item() < 1e-9
    assert loss(maps[[1, 0, 3, 2]], images, 2).item() > 1e-4


@pytest.mark.parametrize("entry", ENTRIES)
def test_flat_images_and_dead_maps_are_finite(entry):
    maps = torch.zeros(2, 64, 16, 8, requires_grad=True)
    loss = PerceptualEdgeLoss(entry, "random")(maps, torch.ones(2, 3, 64, 32), 1)
    loss.backward()
    assert loss.isfinite() and maps.grad.isfinite().all()


@pytest.mark.parametrize("entry", ENTRIES)
def test_under_autocast_only_the_convolutions_round(entry):
    torch.manual_seed(2)
    loss = PerceptualEdgeLoss(entry, "random")
    images, maps = torch.rand(8, 3, 64, 64), torch.rand(8, 64, 16, 16).bfloat16().requires_grad_()
    single = loss(maps.float(), images, 4)
    (expected,) = torch.autograd.grad(single, maps)
    entered, types = [], []
    loss.vgg.first.register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0].dtype))
    loss.vgg.stages[3].register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(maps, images, 4)
    (gradient,) = torch.autograd.grad(half, maps)
    assert half.dtype == torch.float32 and set(entered) <= {torch.float32} and set(types) == {torch.bfloat16}
    assert half.item() == pytest.approx(single.item(), rel=5e-3) and not torch.equal(half, single)
    assert (gradient - expected).norm() < 0.05 * expected.norm()


def test_the_target_passes_without_gradient_and_each_side_in_one_batch():
    vgg = VGGStages("image", "random").requires_grad_(True)
    calls = []
    vgg.register_forward_hook(lambda module, inputs, outputs: calls.append((len(inputs[0]), outputs[0].requires_grad)))
    maps = torch.rand(6, 64, 32, 32, requires_grad=True)
    edges = torch.rand(6, 1, 32, 32, requires_grad=True)
    perceptual_edge(maps, edges, 2, vgg).backward()
    assert sorted(calls) == [(6, False), (6, True)]
    assert edges.grad is None and maps.grad is not None


def test_maps_larger_than_a_quarter_of_the_image_are_averaged_to_it():
    loss = PerceptualEdgeLoss(weights="random")
    maps, images = torch.rand(4, 8, 48, 24), torch.rand(4, 3, 96, 48)
    quarter = maps.unflatten(2, (24, 2)).unflatten(4, (12, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(loss(maps, images, 2), loss(quarter, images, 2))
    published = torch.rand(4, 64, 72, 36)  # a ResNet's maps have this scale already
    assert at_most_quarter(published, 288, 144) is published and at_most_quarter(published, 285, 141) is published


@pytest.mark.parametrize(
    ("shape", "size", "entry", "message"),
    [
        (
            (64, 7, 8),
            (112, 128),
            "image",
            "7 x 8 pixels .* set data.height to 128 or more and data.width to 128 or more",
        ),
        (
            (32, 8, 8),
            (128, 128),
            "conv2",
            "takes maps of 64 channels, and Layer0 of net gives 32: set loss.pef.entry image",
        ),
    ],
)
def test_maps_that_vgg_cannot_take_are_refused(shape, size, entry, message):
    check_maps("net", (64, 8, 8), (128, 128), "conv2")
    with pytest.raises(ValueError, match=message):
        check_maps("net", shape, size, entry)
