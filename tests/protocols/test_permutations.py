import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.protocols.permutations import check_images, draw_official, read_permutations

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "sysu_mm01_protocol" / "rand_perm_cam.mat"


def tables(sizes: dict[tuple[int, int], int], num_pids: int = 3, num_trials: int = 10) -> np.ndarray:
    """(camid, pid) -> number of images; row t of a table is 1..n rotated by t."""
    cameras = np.empty((6, 1), object)
    for camid in range(1, 7):
        cell = np.empty((num_pids, 1), object)
        for pid in range(1, num_pids + 1):
            n = sizes.get((camid, pid), 0)
            cell[pid - 1, 0] = np.array([np.roll(np.arange(1, n + 1), -t) for t in range(num_trials)], np.uint8)
        cameras[camid - 1, 0] = cell
    return cameras


def as_given(rows: list[tuple[int, int, int]]) -> TestFeatures:
    pids, camids, numbers = np.array(rows).T
    return TestFeatures(np.zeros((len(rows), 1)), pids, camids, np.full(len(rows), RGB), numbers)


def gallery(rows: list[tuple[int, int, int]]) -> TestFeatures:
    return as_given(rows).of(RGB)


FOLDERS = {(1, 1): 3, (2, 1): 12, (1, 3): 1}
ROWS = [(pid, camid, number) for (camid, pid), n in FOLDERS.items() for number in range(1, n + 1)]


def save(path: Path, cameras: object) -> Path:
    savemat(path, {"rand_perm_cam": cameras})
    return path


def test_draws_the_first_numbers_of_each_trials_row(tmp_path):
    permutations = read_permutations(save(tmp_path / "p.mat", tables(FOLDERS)))
    data = gallery(ROWS)
    for trial, rows in enumerate(draw_official(data, (1, 2), 1, permutations)):
        drawn = list(zip(data.pids[rows], data.camids[rows], data.image_numbers[rows], strict=True))
        assert drawn == [(1, 1, trial % 3 + 1), (1, 2, trial + 1), (3, 1, 1)]
    many = draw_official(data, (1, 2), 10, permutations)
    assert [len(rows) for rows in many] == [3 + 10 + 1] * 10
    assert sorted(data.image_numbers[many[4]][3:13]) == [1, 2, *range(5, 13)]
    assert all((np.diff(rows) > 0).all() for rows in many)
    assert {c for rows in draw_official(data, (2,), 1, permutations) for c in data.camids[rows]} == {2}


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official protocol files are not here")
def test_the_official_file_is_read():
    permutations = read_permutations(OFFICIAL)
    assert sorted(permutations) == [1, 2, 3, 4, 5, 6]
    assert permutations[1][6].shape == (10, 42)
    assert 17 not in permutations[1]
    assert permutations[3][17].shape == (10, 20)


@pytest.mark.parametrize(
    ("rows", "sizes", "message"),
    [
        (
            ROWS,
            {(1, 1): 3, (2, 1): 12},
            "pids: row 15 is of camera 1, identity 3, but the permutation file has no images",
        ),
        (
            [(3, 1, 1), (9, 1, 1), *ROWS[:-1], (8, 1, 1)],
            FOLDERS,
            "pids: row 1 is of camera 1, identity 9, but the permutation file has no images",
        ),
        (
            [(1, 1, 4), *ROWS],
            FOLDERS,
            "image_numbers: row 0 is image 4 of camera 1, identity 1, but the permutation file has 3",
        ),
        (
            [(3, 1, 1), *ROWS],
            FOLDERS,
            "image_numbers: row 16 is image 1 of camera 1, identity 3 a second time",
        ),
        (
            [row for row in ROWS if row != (1, 2, 7)],
            FOLDERS,
            "image_numbers: no row is image 7 of camera 2, identity 1, but the permutation file draws it",
        ),
    ],
)
def test_features_and_permutations_that_contradict_each_other(tmp_path, rows, sizes, message):
    permutations = read_permutations(save(tmp_path / "p.mat", tables(sizes)))
    data = as_given(rows)
    with pytest.raises(ValueError, match=message) as caught:
        check_images(data, (1, 2), permutations)
        draw_official(data.of(RGB), (1, 2), 1, permutations)
    assert "\n" not in str(caught.value)


def test_cameras_that_are_not_drawn_from_need_no_permutation(tmp_path):
    permutations = read_permutations(save(tmp_path / "p.mat", tables(FOLDERS)))
    check_images(as_given([*ROWS, (9, 4, 1)]), (1, 2), permutations)
    with pytest.raises(ValueError, match="pids: row 16 is of camera 4, identity 9"):
        check_images(as_given([*ROWS, (9, 4, 1)]), (1, 2, 4), permutations)


def test_a_folder_that_the_features_lack_is_warned_of(tmp_path, caplog):
    permutations = read_permutations(save(tmp_path / "p.mat", tables(FOLDERS | {(4, 3): 5, (2, 2): 5})))
    with caplog.at_level(logging.WARNING):
        check_images(gallery(ROWS), (1, 2), permutations)
        assert caplog.text == ""  # camera 4 is not drawn from, identity 2 is in no camera
        check_images(gallery(ROWS), (1, 2, 4), permutations)
    (record,) = caplog.records
    assert record.message.startswith(
        "WARNING: the permutation file has images of camera 4, identity 3, but the features have none (1 such folders)"
    )


def test_numbers_are_needed(tmp_path):
    data = gallery(ROWS)
    unnumbered = TestFeatures(data.features, data.pids, data.camids, data.modalities)
    with pytest.raises(ValueError, match="image_numbers is missing"):
        check_images(unnumbered, (1, 2), read_permutations(save(tmp_path / "p.mat", tables(FOLDERS))))


def with_table(table):
    cameras = tables(FOLDERS)
    cameras[1, 0][0, 0] = table
    return cameras


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        (tables(FOLDERS, num_trials=9), "camera 1, identity 1: the table has 9 trials, expected 10"),
        (tables(FOLDERS)[:5], r"rand_perm_cam is object \(5, 1\), expected 6 cells"),
        (np.arange(6.0), "rand_perm_cam is float64"),
        (
            with_table(np.ones((10, 12))),
            "camera 2, identity 1: a row is not a permutation of the image numbers 1 to 12",
        ),
        (with_table(np.tile(np.arange(12), (10, 1))), "camera 2, identity 1: a row is not a permutation"),
        (with_table(np.full((10, 12), np.nan)), "camera 2, identity 1: a row is not a permutation"),
        (with_table(np.ones((10, 2, 2))), "camera 2, identity 1: .*, expected a table of trials x images"),
    ],
)
def test_a_file_of_another_structure(tmp_path, cameras, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_permutations(save(tmp_path / "p.mat", cameras))
    assert str(tmp_path / "p.mat") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_variable(tmp_path):
    savemat(tmp_path / "p.mat", {"id": [1]})
    with pytest.raises(ValueError, match="has no variable rand_perm_cam"):
        read_permutations(tmp_path / "p.mat")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.mat is missing"):
        read_permutations(tmp_path / "p.mat")


@pytest.mark.parametrize(
    "content", [b"", b"hello" * 50, b"MATLAB 7.3 MAT-file" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600)]
)
def test_no_matlab_file(tmp_path, content):
    (tmp_path / "p.mat").write_bytes(content)
    with pytest.raises(ValueError, match="is not a readable MATLAB file|has no variable"):
        read_permutations(tmp_path / "p.mat")


def test_a_damaged_file_is_an_error_of_one_line(tmp_path):
    whole = save(tmp_path / "p.mat", tables(FOLDERS)).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        (tmp_path / "p.mat").write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)])
        try:
            read_permutations(tmp_path / "p.mat")
        except ValueError as error:
            assert "\n" not in str(error)
