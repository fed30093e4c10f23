"""The P x K x 2 sampler by its invariants."""

import logging
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchreid_rgbir.data.sampler import CrossModalSampler
from torchreid_rgbir.modality import IR, RGB


def lists(counts):
    """counts: {pid: (RGB images, IR images)} -> pids and modalities, images of different identities mixed."""
    images = [
        (place, pid, modality)
        for pid, numbers in counts.items()
        for modality, number in zip((RGB, IR), numbers, strict=True)
        for place in range(number)
    ]
    images.sort()
    return [pid for _, pid, _ in images], [modality for _, _, modality in images]


def sampler(counts, p, k, **options):
    return CrossModalSampler(*lists(counts), batch_size=2 * p * k, num_instances=k, **options)


@st.composite
def cases(draw):
    """Any identities, at least P of them with both modalities."""
    p, k = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    both = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=p, max_size=p + 9))
    alone = draw(st.lists(st.sampled_from([(0, 3), (2, 0)]), max_size=3))
    numbers = draw(st.permutations([*both, *alone]))
    pids = draw(st.lists(st.integers(0, 1000), min_size=len(numbers), max_size=len(numbers), unique=True))
    return dict(zip(pids, numbers, strict=True)), p, k, draw(st.integers(1, 12)), draw(st.integers(0, 2**32))


@settings(deadline=None, max_examples=200)
@given(cases())
def test_every_batch_is_p_identities_of_k_plus_k_images(case):
    counts, p, k, num_batches, seed = case
    pids, modalities = lists(counts)
    made = sampler(counts, p, k, batches_per_epoch=num_batches, seed=seed)
    assert len(made) == num_batches
    batches = list(made)
    assert len(batches) == num_batches
    for batch in batches:
        assert len(batch) == 2 * p * k and all(type(index) is int for index in batch)
        half = p * k
        assert {modalities[i] for i in batch[:half]} == {RGB} and {modalities[i] for i in batch[half:]} == {IR}
        rgb, ir = [pids[i] for i in batch[:half]], [pids[i] for i in batch[half:]]
        assert rgb == ir  # identities in the same order in both halves
        groups = [rgb[start : start + k] for start in range(0, half, k)]
        assert all(len(set(group)) == 1 for group in groups)
        assert len({group[0] for group in groups}) == p
        for start in range(0, 2 * half, k):
            drawn = batch[start : start + k]
            held = counts[pids[drawn[0]]][modalities[drawn[0]]]
            assert held < k or len(set(drawn)) == k  # without replacement where there are enough


@settings(deadline=None, max_examples=200)
@given(cases())
def test_within_an_epoch_counts_of_identities_differ_by_at_most_one(case):
    counts, p, k, num_batches, seed = case
    pids, _ = lists(counts)
    drawn: Counter = Counter({pid: 0 for pid, numbers in counts.items() if min(numbers)})
    made = sampler(counts, p, k, batches_per_epoch=num_batches, seed=seed)
    for batch in made:
        drawn.update({pids[i] for i in batch})
        assert max(drawn.values()) - min(drawn.values()) <= 1  # at every moment of it
    assert set(drawn) == {pid for pid, numbers in counts.items() if min(numbers)}
    assert sum(drawn.values()) == p * num_batches


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(0, 500))
def test_an_epoch_depends_on_seed_and_epoch_alone(case, epoch):
    counts, p, k, num_batches, seed = case

    def draw(epoch):
        made = sampler(counts, p, k, batches_per_epoch=num_batches, seed=seed)
        made.set_epoch(epoch)
        return made, list(made)

    made, batches = draw(epoch)
    assert list(made) == batches  # drawing has no memory
    made.set_epoch(epoch + 1)
    following = list(made)
    assert following == draw(epoch + 1)[1]
    made.set_epoch(epoch)
    assert list(made) == batches


def test_epochs_and_seeds_differ():
    counts = {pid: (6, 6) for pid in range(12)}
    drawn = []
    for seed in range(3):
        made = sampler(counts, 4, 2, batches_per_epoch=5, seed=seed)
        for epoch in range(3):
            made.set_epoch(epoch)
            drawn.append(str(list(made)))
    assert len(set(drawn)) == 9


def test_every_image_is_drawn_sooner_or_later():
    counts = {pid: (7, 5) for pid in range(6)}
    made = sampler(counts, 3, 2, batches_per_epoch=200)
    assert {index for batch in made for index in batch} == set(range(6 * 12))


def test_fewer_images_than_k_are_drawn_with_replacement():
    counts = {0: (1, 3), 1: (8, 8)}
    pids, modalities = lists(counts)
    made = sampler(counts, 2, 4, batches_per_epoch=60)
    rgb, ir = Counter(), Counter()
    for batch in made:
        of_0 = [i for i in batch if pids[i] == 0]
        assert len(of_0) == 8
        rgb.update(i for i in of_0 if modalities[i] == RGB)
        ir.update(i for i in of_0 if modalities[i] == IR)
    assert len(rgb) == 1 and rgb.total() == 240
    assert len(ir) == 3 and ir.total() == 240 and min(ir.values()) > 40  # 80 expected of each


@pytest.mark.parametrize(
    "counts, p, k, expected",
    [
        ({pid: (10, 3) for pid in range(8)}, 4, 2, math.ceil(80 / 8)),
        ({pid: (3, 11) for pid in range(8)}, 4, 2, math.ceil(88 / 8)),
        ({pid: (1, 1) for pid in range(9)}, 4, 4, 1),
        # An identity that is left out counts for nothing.
        ({0: (4, 4), 1: (4, 4), 2: (900, 0)}, 2, 2, 2),
    ],
)
def test_zero_batches_mean_every_image_of_the_larger_modality_once(counts, p, k, expected):
    assert len(sampler(counts, p, k)) == len(list(sampler(counts, p, k))) == expected


def test_identities_of_one_modality_are_left_out_and_reported(caplog):
    counts = {5: (4, 4), 6: (4, 4), 17: (3, 0), 12: (3, 0), 21: (0, 2)}
    pids, _ = lists(counts)
    with caplog.at_level(logging.WARNING):
        made = sampler(counts, 2, 2)
    assert {pids[i] for batch in made for i in batch} == {5, 6}
    rgb, ir = (record.getMessage() for record in caplog.records)
    assert "2 training identities have only rgb images" in rgb and rgb.endswith(": 12, 17")
    assert "1 training identities have only ir images" in ir and ir.endswith(": 21")
    assert caplog.records[0].name == "torchreid_rgbir.data.sampler"


def test_nothing_to_report(caplog):
    sampler({0: (1, 1), 1: (1, 1)}, 2, 1)
    assert not caplog.records


def test_many_left_out_are_shown_in_part(caplog):
    sampler({pid: (1, 1 if pid < 2 else 0) for pid in range(500)}, 2, 1)
    message = caplog.records[0].getMessage()
    assert "498" in message and message.endswith(", ...") and len(message) < 200


@pytest.mark.parametrize(
    "batch_size, k, parts",
    [
        (63, 4, ["63", "P x 2K", "8"]),
        (10, 4, ["10", "8"]),
        (0, 4, ["0", "8"]),
        (-8, 4, ["-8"]),
        (8, 0, ["sampler.num_instances"]),
        (8, -2, ["sampler.num_instances"]),
        (8, 4, ["1 identity", "16"]),
        (64, 4, ["8 identities", "3 have", "24"]),
    ],
)
def test_impossible_batches(fails, batch_size, k, parts):
    with fails(ValueError, *parts):
        CrossModalSampler(*lists({0: (9, 9), 1: (9, 9), 2: (9, 9)}), batch_size=batch_size, num_instances=k)


def test_negative_batches_per_epoch(fails):
    with fails(ValueError, "sampler.batches_per_epoch", "-1"):
        sampler({0: (1, 1), 1: (1, 1)}, 2, 1, batches_per_epoch=-1)


@pytest.mark.parametrize("counts", [{0: (4, 4)}, {0: (4, 0), 1: (0, 4)}, {}])
def test_too_few_identities_for_any_batch(fails, counts):
    with fails(ValueError, "2 identities", f"{sum(min(n) > 0 for n in counts.values())} have", "add data"):
        sampler(counts, 2, 2)


def test_the_advice_is_never_the_same_batch_size(fails):
    with pytest.raises(ValueError) as caught:
        sampler({0: (4, 4)}, 2, 4)
    assert "lower train.batch_size to 16" not in str(caught.value)


def test_lists_of_different_lengths():
    with pytest.raises(ValueError):
        CrossModalSampler([0, 0, 1, 1], [RGB, IR, RGB], batch_size=4, num_instances=1)


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(1, 3))
def test_processes_draw_the_batch_of_one_and_share_it(case, world_size):
    counts, p, k, num_batches, seed = case
    whole = list(sampler(counts, p, k, batches_per_epoch=num_batches, seed=seed))
    if p % world_size:
        with pytest.raises(
            ValueError, match=f"{p} identities, which cannot be divided evenly among {world_size} processes"
        ):
            sampler(counts, p, k, world_size=world_size)
        return
    made = [
        sampler(counts, p, k, batches_per_epoch=num_batches, seed=seed, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert all(one.num_own_ids * world_size == one.num_ids == p for one in made)
    for batch, *parts in zip(whole, *made, strict=True):
        halves = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in parts]
        assert [index for half in zip(*halves, strict=True) for part in half for index in part] == batch


class TestSeveralDataSets:
    """Identities of every set in each batch, in proportion to the sets' sizes or as many of each."""

    def sampler(self, sizes, **options):
        pids = [pid for pid in range(sum(sizes)) for _ in range(4)]
        dsetids = [number for number, size in enumerate(sizes) for _ in range(4 * size)]
        options = {"batch_size": 32, "num_instances": 2, "batches_per_epoch": 40} | options
        return CrossModalSampler(pids, [RGB, RGB, IR, IR] * sum(sizes), dsetids=dsetids, **options), pids, dsetids

    @pytest.mark.parametrize(
        ("sizes", "balance", "shares"),
        [
            ([10, 10], "size", [4, 4]),
            ([395, 713], "size", [3, 5]),
            ([395, 713], "equal", [4, 4]),
            ([500, 9], "size", [7, 1]),
            ([20, 20, 20], "equal", [3, 3, 2]),
            ([1, 1, 500], "size", [1, 1, 6]),
        ],
    )
    def test_every_batch_has_the_share_of_each(self, sizes, balance, shares):
        sampler, pids, dsetids = self.sampler(sizes, balance=balance)
        for batch in sampler:
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                found = {pids[index]: dsetids[index] for index in half}
                assert [list(found.values()).count(number) for number in range(len(sizes))] == shares
            assert [pids[index] for index in batch[:16]] == [pids[index] for index in batch[16:]]

    def test_identities_of_a_set_take_their_turns(self):
        sampler, pids, dsetids = self.sampler([9, 23], balance="equal")
        counts = Counter(pids[index] for batch in sampler for index in batch)
        for number in (0, 1):
            own = [counts[pid] for pid in {pid for pid, one in zip(pids, dsetids, strict=True) if one == number}]
            assert max(own) - min(own) <= 4  # images of one batch

    def test_processes_share_the_batches(self):
        whole, *_ = self.sampler([9, 23])
        parts = [self.sampler([9, 23], rank=rank, world_size=2)[0] for rank in (0, 1)]
        for batch, one, two in zip(whole, *parts, strict=True):
            assert batch == one[:8] + two[:8] + one[8:] + two[8:]

    def test_one_data_set_is_sampled_as_before(self):
        sampler, pids, _ = self.sampler([30])
        alone = CrossModalSampler(pids, [RGB, RGB, IR, IR] * 30, 32, 2, 40)
        assert list(sampler) == list(alone)

    def test_batches_that_cannot_be(self):
        with pytest.raises(ValueError, match="a batch has 2 identities, too few for one of each of the 3 data sets"):
            self.sampler([9, 9, 9], batch_size=8)
        with pytest.raises(ValueError, match="4 identities of data set 2 of data.sources, but only 3 .*balance size"):
            self.sampler([9, 3], balance="equal")


class TestTracks:
    def sampler(self, frames, num_instances):
        """frames: (pid, modality, track) of each image."""
        pids, modalities, tracks = zip(*frames, strict=True)
        options = {"batch_size": 4 * num_instances, "batches_per_epoch": 30}
        return CrossModalSampler(pids, modalities, num_instances=num_instances, tracks=tracks, **options)

    @pytest.mark.parametrize("num_tracks", range(1, 6))
    @pytest.mark.parametrize("num_instances", [1, 3, 4])
    def test_frames_are_of_different_tracks(self, num_tracks, num_instances):
        frames = [
            (pid, modality, track)
            for pid in (1, 2, 3)
            for modality in (RGB, IR)
            for track in range(1, num_tracks + 1)
            for _ in range(2 + track)
        ]
        for batch in self.sampler(frames, num_instances):
            for start in range(0, len(batch), num_instances):
                chosen = batch[start : start + num_instances]
                counts = Counter(frames[index] for index in chosen)
                assert len({frames[index][:2] for index in chosen}) == 1
                assert len(counts) == min(num_tracks, num_instances)
                assert max(counts.values()) == -(-num_instances // num_tracks)
                if num_instances <= 3 * num_tracks:  # there are at least three frames of each
                    assert len(set(chosen)) == num_instances

    def test_a_track_of_one_frame_is_repeated(self):
        frames = [(pid, modality, 1) for pid in (1, 2) for modality in (RGB, IR)]
        for batch in self.sampler(frames, 3):
            assert sorted(batch) == sorted(3 * list(range(4)))

    def test_every_frame_is_used(self):
        frames = [(pid, modality, t) for pid in (1, 2) for modality in (RGB, IR) for t in (1, 2) for _ in range(4)]
        assert {index for batch in self.sampler(frames, 2) for index in batch} == set(range(len(frames)))
