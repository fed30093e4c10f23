"""AGW's sampler by its invariants. tests/peers compares it with the authors' in distribution."""

from collections import Counter
from math import sqrt

import pytest

from tests.data.test_sampler import lists
from torchreid_rgbir.data import AGWSampler
from torchreid_rgbir.modality import IR, RGB


def sampler(counts, p, k, **options):
    return AGWSampler(*lists(counts), batch_size=2 * p * k, num_instances=k, **options)


COUNTS = {pid: (5 + pid, 3) for pid in range(7)}


@pytest.mark.parametrize(("p", "k"), [(2, 1), (3, 4), (7, 2)])
def test_every_batch_is_p_identities_of_k_plus_k_images(p, k):
    pids, modalities = lists(COUNTS)
    made = sampler(COUNTS, p, k, batches_per_epoch=20)
    for number, batch in enumerate(made):
        rgb, ir = batch[: made.num_rgb(number)], batch[made.num_rgb(number) :]
        assert {modalities[i] for i in rgb} == {RGB} and {modalities[i] for i in ir} == {IR}
        assert len(rgb) == len(ir) == p * k and [pids[i] for i in rgb] == [pids[i] for i in ir]
        groups = [{pids[i] for i in rgb[start : start + k]} for start in range(0, p * k, k)]
        assert all(len(group) == 1 for group in groups) and len(set.union(*groups)) == p


@pytest.mark.parametrize(("num_rgb", "num_ir", "expected"), [(24, 10, 3), (23, 10, 2), (10, 25, 3), (3, 3, 1)])
def test_an_epoch_is_one_batch_longer_than_the_complete_ones_of_a_pass(num_rgb, num_ir, expected):
    counts = {0: (num_rgb - 2, 1), 1: (1, 1), 2: (1, num_ir - 2)}
    made = sampler(counts, p=3, k=4)
    assert len(made) == len(list(made)) == expected  # the larger modality's images // 12, and one


def test_images_are_sampled_with_replacement():
    repeated = sum(len(set(batch[:3])) < 3 for batch in sampler({0: (9, 9), 1: (9, 9)}, 2, 3, batches_per_epoch=2000))
    share = 1 - 8 / 9 * 7 / 9
    assert abs(repeated - 2000 * share) < 5 * sqrt(2000 * share * (1 - share))


def test_identities_do_not_depend_on_the_batches_before():
    pids, _ = lists(COUNTS)
    batches = [{pids[i] for i in batch} for batch in sampler(COUNTS, 3, 1, batches_per_epoch=4000)]
    overlaps = Counter(len(one & two) for one, two in zip(batches[::2], batches[1::2], strict=True))
    for common, ways in {0: 4, 1: 18, 2: 12, 3: 1}.items():  # of 35: 3 of 7, of which `common` are among 3 given ones
        share = ways / 35
        assert abs(overlaps[common] - 2000 * share) < 5 * sqrt(2000 * share * (1 - share))


def test_processes_share_a_batch_and_a_resumed_epoch_continues():
    whole = list(sampler(COUNTS, 4, 2, batches_per_epoch=5, seed=3))
    parts = [list(sampler(COUNTS, 4, 2, batches_per_epoch=5, seed=3, rank=rank, world_size=2)) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert batch == [*first[:4], *second[:4], *first[4:], *second[4:]]
    resumed = sampler(COUNTS, 4, 2, batches_per_epoch=5, seed=3)
    resumed.set_epoch(0, first=3)
    assert list(resumed) == whole[3:]
    resumed.set_epoch(1)
    assert list(resumed)[:2] != whole[:2]


def test_several_data_sets_have_their_shares():
    pids, modalities = lists({pid: (2, 2) for pid in range(9)})
    dsetids = [int(pid >= 3) for pid in pids]  # 3 and 6 identities
    made = AGWSampler(pids, modalities, batch_size=12, num_instances=1, batches_per_epoch=50, dsetids=dsetids)
    for batch in made:
        assert Counter(dsetids[i] for i in batch[:6]) == {0: 2, 1: 4} and len({pids[i] for i in batch[:6]}) == 6
