import random

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.galleries import check_numbers, draw_agw, folders


def gallery(seed: int) -> TestFeatures:
    rng = np.random.default_rng(seed)
    rows = [
        (pid, camid, number)
        for pid in rng.choice(50, 9, replace=False)
        for camid in (1, 2, 4, 5)
        if rng.random() < 0.7
        for number in range(1, rng.integers(1, 9) + 1)
    ]
    pids, camids, numbers = np.array(rng.permutation(rows)).T
    return TestFeatures(rng.random((len(pids), 2)), pids, camids, np.full(len(pids), RGB), numbers).of(RGB)


def test_agw_is_random_choice_of_the_sorted_files():
    for seed in range(5):
        data = gallery(seed)
        files = {}
        for row in range(len(data)):
            files.setdefault((data.pids[row], data.camids[row]), []).append((data.image_numbers[row], row))
        for camids in ((1, 2, 4, 5), (1, 2)):
            for trial, drawn in enumerate(draw_agw(data, camids)):
                random.seed(trial)
                expected = []
                for pid in sorted(set(data.pids.tolist())):
                    for camid in camids:
                        if (pid, camid) in files:
                            expected.append(random.choice(sorted(files[pid, camid]))[1])
                assert drawn.tolist() == expected


def test_agw_leaves_the_global_generator_alone():
    random.seed(7)
    before = random.getstate()
    draw_agw(gallery(0), (1, 2))
    assert random.getstate() == before


def test_folders_hold_every_row_once():
    data = gallery(1)
    found = folders(data)
    assert np.concatenate(list(found.values())).tolist() == list(range(len(data)))
    for (pid, camid), rows in found.items():
        assert set(data.pids[rows]) == {pid}
        assert set(data.camids[rows]) == {camid}
        assert (np.diff(data.image_numbers[rows]) > 0).all()


def numbered(rows: list[tuple[int, int, int, int]]) -> TestFeatures:
    pids, camids, modalities, numbers = np.array(rows).T
    return TestFeatures(np.zeros((len(rows), 1)), pids, camids, modalities, numbers)


WHOLE = [(7, 2, RGB, 2), (7, 2, RGB, 1), (7, 2, IR, 1), (7, 1, RGB, 1), (3, 2, RGB, 1), (7, 2, RGB, 3)]


def test_whole_folders_pass_in_any_order(caplog):
    rng = np.random.default_rng(0)
    for _ in range(5):
        check_numbers(numbered(WHOLE).take(rng.permutation(len(WHOLE))))
    assert not caplog.records


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([row for row in WHOLE if row != (7, 2, RGB, 1)], "row 0 is 2, but the images of camera 2, identity 7"),
        ([row for row in WHOLE if row != (7, 2, RGB, 2)], "row 4 is 3, but the images of camera 2, identity 7"),
        ([*WHOLE, (3, 2, RGB, 1)], "row 6 is 1, but the images of camera 2, identity 3"),
        ([(3, 9, IR, 5), *WHOLE, (1, 1, RGB, 2)], "row 0 is 5, but the images of camera 9, identity 3"),
    ],
)
def test_a_gap_or_a_repetition_is_named_by_its_first_row(rows, first):
    with pytest.raises(ValueError, match=f"^image_numbers: {first}") as caught:
        check_numbers(numbered(rows))
    assert "\n" not in str(caught.value)


def test_without_numbers_a_warning_says_what_is_relied_on(caplog):
    data = numbered(WHOLE)
    check_numbers(TestFeatures(data.features, data.pids, data.camids, data.modalities))
    (record,) = caplog.records
    assert record.message.startswith("WARNING: without image_numbers")
