import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.visual.samples import choose_samples, read_samples

DESCRIBED = {"height": 64, "width": 32, "norm_mean": [0.5, 0.4, 0.3], "norm_std": [0.1, 0.2, 0.4]}


def test_images_are_read_as_the_network_takes_them(tmp_path):
    Image.new("RGB", (10, 20), (51, 102, 255)).save(tmp_path / "a.png")
    samples = read_samples([str(tmp_path / "a.png")], IR, DESCRIBED)
    assert samples.modality == IR and samples.images.shape == (1, 3, 64, 32)
    expected = torch.tensor([(0.2 - 0.5) / 0.1, (0.4 - 0.4) / 0.2, (1 - 0.3) / 0.4])
    torch.testing.assert_close(samples.inputs[0, :, 5, 5], expected)


def test_the_same_identities_are_chosen_in_both_modalities(features):
    paths = np.array(
        [f"{p}_{c}_{n}" for p, c, n in zip(features.pids, features.camids, features.image_numbers, strict=True)]
    )
    shuffled = dataclasses.replace(features, paths=paths).take(np.random.default_rng(0).permutation(len(features)))
    assert choose_samples(shuffled, 3) == {RGB: ["0_1_1", "2_1_1", "5_1_1"], IR: ["0_3_1", "2_3_1", "5_3_1"]}


def test_features_without_paths_have_no_pictures(features):
    with pytest.raises(ValueError, match="have no paths"):
        choose_samples(features)
