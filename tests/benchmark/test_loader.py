import pytest
import torch

from torchreid_rgbir.benchmark.loader import loader

SIDES = {"loader_torchreid", "loader_none", "loader_disk", "loader_ram", "loader_disk_random_crop"}


def test_every_side_of_a_small_loader():
    threads = torch.get_num_threads()
    measured = loader(height=16, width=8, batch_size=16, rounds=1, workers=0, num_ids=10, threads=1)
    assert torch.get_num_threads() == threads
    assert set(measured["medians"]) == set(measured["images_per_second"]) == SIDES
    assert (
        set(measured["ratios"])
        == set(measured["spread"])
        == {f"{side}_over_torchreid" for side in SIDES - {"loader_torchreid"}}
    )
    # Images a second over images a second: how many times faster than torchreid.
    speed = measured["images_per_second"]
    for side in SIDES - {"loader_torchreid"}:
        assert measured["ratios"][f"{side}_over_torchreid"] == pytest.approx(speed[side] / speed["loader_torchreid"])
    num_images = {round(speed[side] * seconds) for side, seconds in measured["medians"].items()}
    assert num_images == {8 * 6 * 7 // 16 * 16}  # eight training identities, six cameras, seven images, whole batches
    for side in ("loader_disk", "loader_ram"):
        assert 0 < measured["limits"][side][0] < measured["medians"][side]
