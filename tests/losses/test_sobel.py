import math

import pytest
import torch

from torchreid_rgbir.losses import edge_map


def naive(image, size):
    """One image (3, H, W), pixel by pixel; H and W are multiples of the result's."""
    _, height, width = image.shape
    gray = [
        [
            0.299 * image[0, y, x].item() + 0.587 * image[1, y, x].item() + 0.114 * image[2, y, x].item()
            for x in range(width)
        ]
        for y in range(height)
    ]

    def at(y, x):
        return gray[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)]

    edges = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            north, south, west, east = at(y - 1, x), at(y + 1, x), at(y, x - 1), at(y, x + 1)
            nw, ne, sw, se = at(y - 1, x - 1), at(y - 1, x + 1), at(y + 1, x - 1), at(y + 1, x + 1)
            across = ne + 2 * east + se - nw - 2 * west - sw
            down = sw + 2 * south + se - nw - 2 * north - ne
            rising = north + 2 * ne + east - west - 2 * sw - south
            falling = east + 2 * se + south - north - 2 * nw - west
            edges[y, x] = math.sqrt(across**2 + down**2 + rising**2 + falling**2)
    rows, columns = height // size[0], width // size[1]
    return torch.stack(
        [
            torch.stack(
                [edges[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns].mean() for x in range(size[1])]
            )
            for y in range(size[0])
        ]
    )


def images_of(seed, shape=(2, 3, 12, 8)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equals_the_loop():
    images = images_of(0)
    for size in ((12, 8), (3, 2), (6, 4)):
        expected = torch.stack([naive(image, size) for image in images]).unsqueeze(1)
        torch.testing.assert_close(edge_map(images, size), expected)


def test_layer0_resolution():
    assert edge_map(images_of(1, (1, 3, 288, 144)), (72, 36)).shape == (1, 1, 72, 36)


def test_a_flat_image_has_no_edge_not_even_at_its_border():
    assert edge_map(torch.full((1, 3, 8, 8), 0.7), (8, 8)).abs().max().item() < 1e-6


def test_a_vertical_step_by_hand():
    images = torch.zeros(1, 3, 6, 6)
    images[..., 3:] = 1
    edges = edge_map(images, (6, 6))[0, 0]
    # Across the step 1 + 2 + 1, along it 0, and on each diagonal 1 + 2.
    assert edges[:, 2:4].flatten().tolist() == pytest.approx([math.sqrt(4**2 + 3**2 + 3**2)] * 12)
    assert edges[:, [0, 1, 4, 5]].abs().max() == 0


def test_turning_the_image_turns_the_edges():
    images = images_of(2, (1, 3, 8, 8))
    for turned in (lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.transpose(2, 3)):
        torch.testing.assert_close(edge_map(turned(images), (8, 8)), turned(edge_map(images, (8, 8))))


def test_no_gradient():
    assert not edge_map(images_of(3).requires_grad_(), (3, 2)).requires_grad
