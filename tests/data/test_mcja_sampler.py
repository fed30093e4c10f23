"""The samplers of MCJA and of LuckyDC's baseline: their invariants."""

from collections import Counter

import numpy as np
import pytest

from torchreid_rgbir.data import LuckyDCSampler, MCJASampler
from torchreid_rgbir.modality import IR, RGB


def images_of(*counts):
    """pids and modalities of identities with these numbers of RGB and IR images, in a random order."""
    labels = [
        (pid, m) for pid, pair in enumerate(counts) for m, num in zip((RGB, IR), pair, strict=True) for _ in range(num)
    ]
    order = np.random.default_rng(0).permutation(len(labels))
    return [labels[i][0] for i in order], [labels[i][1] for i in order]


PIDS, MODALITIES = images_of((9, 3), (2, 6), (1, 1), (4, 0), (7, 8), (5, 5))


def mcja(**changes):
    return MCJASampler(PIDS, MODALITIES, **{"batch_size": 12, "num_instances": 4, "seed": 3} | changes)


@pytest.mark.parametrize("epoch", range(6))
def test_a_batch_has_groups_of_identities_and_rgb_first(epoch):
    sampler = mcja()
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    for number, batch in enumerate(batches):
        assert sorted(Counter(PIDS[i] for i in batch).values()) == [4, 4, 4]
        modalities = [MODALITIES[i] for i in batch]
        assert modalities == sorted(modalities) and modalities.count(RGB) == sampler.num_rgb(number)
    used = Counter(index for batch in batches for index in batch)
    # Only the identity with fewer than four images has an image twice.
    assert all(count == 1 or PIDS[index] == 2 for index, count in used.items())
    groups = {0: 3, 1: 2, 2: 1, 3: 1, 4: 3, 5: 2}
    drawn = Counter(pid for batch in batches for pid in {PIDS[i] for i in batch})
    assert all(drawn[pid] <= num for pid, num in groups.items())
    assert sum(drawn[pid] < num for pid, num in groups.items()) < sampler.num_ids  # otherwise there was one more batch


def test_epochs_differ_in_length_and_repeat_with_their_number():
    sampler = mcja()
    lengths = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        lengths.add(len(sampler))
    assert len(lengths) > 1
    sampler.set_epoch(4)
    again = mcja()
    again.set_epoch(4, first=1)
    assert list(again) == list(sampler)[1:] and list(again) != list(mcja())


def test_the_number_of_rgb_images_varies():
    sampler = mcja()
    assert len({sampler.num_rgb(number) for number in range(len(sampler))}) > 1 and not sampler.is_balanced


@pytest.mark.parametrize("num", [1, 2, 9])
def test_batches_per_epoch_cut_or_lengthen_an_epoch(num):
    sampler = mcja(batches_per_epoch=num)
    assert len(sampler) == len(list(sampler)) == num
    assert list(sampler)[:2] == list(mcja())[:num][:2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 13}, "train.batch_size 13 is not P x K with P of 2 or more: set it to a multiple of 4"),
        ({"batch_size": 4}, "train.batch_size 4 is not P x K with P of 2"),
        ({"batch_size": 28}, "a batch needs 7 identities, but there are 6: lower train.batch_size to 24"),
        ({"world_size": 2}, "samples for one process, not for 2: choose pk"),
    ],
)
def test_what_mcjas_sampler_refuses(changes, says):
    with pytest.raises(ValueError, match=says):
        mcja(**changes)


def test_luckydcs_sampler():
    pids, modalities = images_of(*[(40, 20)] * 8)
    sampler = LuckyDCSampler(pids, modalities, batch_size=32, num_instances=4, seed=1)
    # Their code: 320 RGB images are 320 // 16 + 1 = 21 batches, of which their loader counts half.
    assert len(sampler) == len(list(sampler)) == 10
    sets = []
    for batch in sampler:
        halves = [batch[:16], batch[16:]]
        for half, modality in zip(halves, (RGB, IR), strict=True):
            assert {modalities[i] for i in half} == {modality} and len(set(half)) == 16
        assert [pids[i] for i in halves[0]] == [pids[i] for i in halves[1]]
        sets.append(frozenset(pids[i] for i in batch))
    assert all(len(ids) == 4 for ids in sets)
    assert len(frozenset.union(*sets[:2])) < 8 or len(frozenset.union(*sets[2:4])) < 8  # not one pass over identities


def test_luckydcs_sampler_repeats_images_only_if_there_are_too_few():
    pids, modalities = images_of(*[(9, 2)] * 4)
    for batch in LuckyDCSampler(pids, modalities, batch_size=16, num_instances=4, batches_per_epoch=5):
        assert len(set(batch[:8])) == 8 and 2 < len(set(batch[8:])) <= 4
