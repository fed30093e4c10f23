import random

import numpy as np

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.metrics.galleries import draw_agw, folders
from torchreid_rgbir.modality import RGB


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
