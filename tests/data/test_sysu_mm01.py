"""SYSU-MM01's adapter on hand-written sets."""

import os
import random
import shutil
from collections import Counter

import pytest

from tests.data_layouts import perfect_features
from torchreid_rgbir.data.sysu_mm01 import SYSUMM01, read_ids
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.galleries import draw_agw


def load(root, **options):
    return SYSUMM01(root=str(root), verbose=False, **options)


def test_counts_labels_and_numbers(tmp_path, write_sysu):
    folder = write_sysu(tmp_path, train=(3, 7), val=(5,), test=(2, 9), num_images=2)
    dataset = load(tmp_path)
    assert len(dataset.train) == 3 * 6 * 2 and len(dataset.query) == 2 * 2 * 2 and len(dataset.gallery) == 2 * 4 * 2
    # Training and validation identities together, relabeled in the order of their numbers.
    for item in dataset.train:
        assert item.pid == {3: 0, 5: 1, 7: 2}[int(item.impath.split("/")[-2])]
    for item in (*dataset.train, *dataset.query, *dataset.gallery):
        camera, pid, name = item.impath.split("/")[-3:]
        assert item.impath == str(folder / camera / pid / name)
        assert item.camid == int(camera[3:]) and item.number == int(name[:4]) and item.dsetid == 0
        assert item.modality == (IR if item.camid in (3, 6) else RGB)
    assert {item.pid for item in dataset.query} == {item.pid for item in dataset.gallery} == {2, 9}
    assert {item.camid for item in dataset.query} == {3, 6}
    assert {item.camid for item in dataset.gallery} == {1, 2, 4, 5}
    assert dataset.num_train_pids == 3 and dataset.num_train_cams == 6


def test_number_is_the_place_among_sorted_names(tmp_path, write_sysu):
    folder = write_sysu(tmp_path, num_images=3)
    (folder / "cam1" / "0002" / "0001.jpg").unlink()
    dataset = load(tmp_path)
    found = [(i.impath[-8:], i.number) for i in dataset.gallery if i.camid == 1 and i.pid == 2]
    assert found == [("0002.jpg", 1), ("0003.jpg", 2)]


def test_an_identity_may_miss_a_camera(tmp_path, write_sysu):
    write_sysu(tmp_path, without=[(1, 3), (2, 9)])
    dataset = load(tmp_path)
    assert Counter(item.camid for item in dataset.train if item.pid == 0) == {2: 2, 3: 2, 4: 2, 5: 2, 6: 2}
    assert Counter(item.camid for item in dataset.gallery if item.pid == 9) == {1: 2, 4: 2, 5: 2}


def test_labels_have_no_gap_when_an_identity_has_no_image(tmp_path, write_sysu):
    write_sysu(tmp_path, train=(3, 4, 7), without=[(camid, 4) for camid in range(1, 7)])
    assert {item.pid for item in load(tmp_path).train} == {0, 1, 2}


def test_root_is_the_folder_or_its_parent(tmp_path, write_sysu):
    folder = write_sysu(tmp_path)
    assert load(tmp_path).train == load(folder).train
    assert load(tmp_path).query == load(folder).query


def test_an_identity_listed_twice_counts_once(tmp_path, write_sysu):
    folder = write_sysu(tmp_path)
    (folder / "exp" / "train_id.txt").write_text("3,7,3\n")
    (folder / "exp" / "val_id.txt").write_text("7,5\n")
    dataset = load(tmp_path)
    assert len(set(dataset.train)) == len(dataset.train) == 3 * 6 * 2


def test_a_test_identity_listed_twice_counts_once(tmp_path, write_sysu):
    folder = write_sysu(tmp_path)
    (folder / "exp" / "test_id.txt").write_text("2,9,2\n")
    dataset = load(tmp_path)
    assert len(set(dataset.query)) == len(dataset.query)


@pytest.mark.parametrize("lost", ["cam1", "cam6", "exp/train_id.txt", "exp/val_id.txt", "exp/test_id.txt"])
def test_a_missing_part_is_named(tmp_path, write_sysu, fails, lost):
    folder = write_sysu(tmp_path)
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    with fails(FileNotFoundError, folder / lost, "--root"):
        load(tmp_path)


def test_no_such_root(tmp_path, fails):
    with fails(FileNotFoundError, tmp_path / "nowhere", "SYSU-MM01"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with fails(FileNotFoundError, tmp_path / "file", "SYSU-MM01"):
        load(tmp_path / "file")


@pytest.mark.parametrize("text", ["1,2,x", "1;2", "\x89PNG\x0d\x0a", "1.5"])
def test_a_malformed_list(tmp_path, write_sysu, fails, text):
    folder = write_sysu(tmp_path)
    (folder / "exp" / "val_id.txt").write_text(text)
    with fails(ValueError, folder / "exp" / "val_id.txt", "integers"):
        load(tmp_path)


def test_read_ids(tmp_path):
    for text, ids in (("1,2,3\n", [1, 2, 3]), (" 10 , 2,", [10, 2]), ("", []), ("7\n8", [7, 8]), ("0004", [4])):
        (tmp_path / "ids.txt").write_text(text)
        assert read_ids(tmp_path / "ids.txt") == ids


def test_training_and_test_must_not_share_an_identity(tmp_path, write_sysu, fails):
    for name in ("train_id.txt", "val_id.txt"):
        folder = write_sysu(tmp_path / name)
        (folder / "exp" / name).write_text("9")
        with fails(ValueError, "identity 9", "exp"):
            load(tmp_path / name)


@pytest.mark.parametrize("name, kind", [("train", "training"), ("test", "query")])
def test_an_empty_list(tmp_path, write_sysu, fails, name, kind):
    folder = write_sysu(tmp_path, val=())
    (folder / "exp" / f"{name}_id.txt").write_text("\n")
    with fails(ValueError, "SYSUMM01", kind, "doctor"):
        load(tmp_path)


@pytest.mark.parametrize("sampling", ["official", "agw"])
def test_the_protocol_ranks_perfect_features_first(tmp_path, write_sysu, sampling):
    write_sysu(tmp_path, test=(2, 9, 11), num_images=12)
    dataset = load(tmp_path)
    settings = dataset.protocol.score(perfect_features(dataset), sampling=sampling)
    assert [setting["shots"] for setting in settings] == ([1, 10, 1, 10] if sampling == "official" else [1, 1])
    assert all(setting["mean"]["rank1"] == setting["mean"]["mAP"] == 1 for setting in settings)
    assert {setting["sampling"] for setting in settings} == {sampling}


def test_the_official_trials_need_the_permutations_and_every_test_image(tmp_path, write_sysu, fails):
    folder = write_sysu(tmp_path)
    dataset = load(tmp_path)
    dataset.protocol.check(dataset.test_labels())
    dataset.left_out = {dataset.train[0].impath: "broken"}
    dataset.protocol.check(dataset.test_labels())
    dataset.left_out = {dataset.gallery[0].impath: "broken"}
    with fails(ValueError, "1 test images cannot be read", dataset.gallery[0].impath, "agw"):
        dataset.protocol.check(dataset.test_labels())
    dataset.protocol.check(dataset.test_labels(), sampling="agw")
    dataset.left_out = {}
    (folder / "exp" / "rand_perm_cam.mat").unlink()
    with fails(FileNotFoundError, folder / "exp" / "rand_perm_cam.mat", "agw"):
        dataset.protocol.check(dataset.test_labels())


def test_agw_draws_random_choice_of_the_sorted_files(tmp_path, write_sysu, write_image, random_features):
    folder = write_sysu(tmp_path, test=(2, 9, 11, 30), num_images=3, without=[(1, 9), (4, 2), (5, 11)])
    for camid, pid in ((1, 2), (2, 9), (4, 30), (5, 30)):
        for number in (10, 100, 20):  # sorted as text, as os.listdir's names are
            write_image(folder / f"cam{camid}" / f"{pid:04d}" / f"{number}.jpg")
    gallery = random_features(load(tmp_path)).of(RGB)
    for cameras in ((1, 2, 4, 5), (1, 2)):
        for trial, rows in enumerate(draw_agw(gallery, cameras)):
            random.seed(trial)
            expected = []
            for pid in (2, 9, 11, 30):
                for camid in cameras:
                    images = folder / f"cam{camid}" / f"{pid:04d}"
                    if images.is_dir():
                        expected.append(str(images / random.choice(sorted(os.listdir(images)))))
            assert gallery.paths[rows].tolist() == expected


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf2,9\n", b"2,9\r\n", b"\xef\xbb\xbf2\r\n9\r\n", b" 2 , 9 "])
def test_id_lists_of_every_system_are_read_alike(tmp_path, write_sysu, text):
    folder = write_sysu(tmp_path)
    expected = load(tmp_path)
    (folder / "exp" / "test_id.txt").write_bytes(text)
    found = load(tmp_path)
    assert (found.query, found.gallery) == (expected.query, expected.gallery)


@pytest.mark.parametrize("text, part", [("2,9".encode("utf-16"), "UTF-8"), (b"2,9223372036854775808", "64 bits")])
def test_an_id_list_that_cannot_be_read(tmp_path, write_sysu, fails, text, part):
    folder = write_sysu(tmp_path)
    (folder / "exp" / "test_id.txt").write_bytes(text)
    with fails(ValueError, folder / "exp" / "test_id.txt", part):
        load(tmp_path)
