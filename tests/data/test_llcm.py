"""LLCM's adapter on hand-written sets."""

import os
import random
import shutil

import pytest

from tests.data_layouts import perfect_features
from torchreid_rgbir.data.llcm import LLCM, parse_camera
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols.galleries import draw_agw


def load(root, **options):
    return LLCM(root=str(root), verbose=False, **options)


def test_counts_labels_cameras_and_numbers(tmp_path, write_llcm):
    folder = write_llcm(tmp_path, train=(4, 11), test=(3, 8), num_images=2)
    dataset = load(tmp_path)
    assert len(dataset.train) == 2 * 17 * 2 and len(dataset.query) == 2 * 8 * 2 and len(dataset.gallery) == 2 * 9 * 2
    for item in (*dataset.train, *dataset.query, *dataset.gallery):
        path = item.impath.removeprefix(f"{folder}/")
        name = path.split("/")[-1]
        assert item.camid == int(name[6:8]) and item.number == int(name[10:16]) and item.dsetid == 0
        assert item.modality == (RGB if path.split("/")[0] in ("vis", "test_vis") else IR)
    for item in dataset.train:
        assert item.pid == {"0004": 0, "0011": 1}[item.impath.split("/")[-2]]
    for item in (*dataset.query, *dataset.gallery):
        assert item.pid == int(item.impath.split("/")[-2])
        assert f"/cam{item.camid}/" in item.impath
    assert {item.modality for item in dataset.query} == {IR} and {item.modality for item in dataset.gallery} == {RGB}
    assert {item.camid for item in dataset.query} == {1, 2, 4, 5, 6, 7, 8, 9}
    assert {item.camid for item in dataset.gallery} == set(range(1, 10))


def test_parse_camera():
    assert parse_camera("train_vis/cam7/0001/0001.jpg") == 7
    assert parse_camera("cam3/0001/0001_c05_s1_f1_vis.jpg") == 3  # the folder has the last word
    assert parse_camera("nir/0351/0351_c06_s200656_f4830_nir.jpg") == 6
    assert parse_camera("my_c09_pictures/0001/0001.jpg") == 0
    assert parse_camera("vis/webcam2/0001.jpg") == 0


def test_the_camera_is_not_taken_from_above_the_data_set(tmp_path, write_llcm):
    root = tmp_path / "cam8"
    folder = write_llcm(root, train=(1,), test=(2,), num_images=1)
    for word in ("vis", "nir"):
        (folder / word / "0001").rename(folder / word / "people")
        (folder / word / "people" / f"0001_c01_s000001_f0001_{word}.jpg").rename(folder / word / "people" / "a.jpg")
        (folder / "idx" / f"train_{word}.txt").write_text(f"{word}/people/a.jpg 1\n")
    assert {item.camid for item in load(root).train} == {0}


def test_a_camera_may_be_missing(tmp_path, write_llcm):
    folder = write_llcm(tmp_path)
    shutil.rmtree(folder / "test_vis" / "cam3")
    assert {item.camid for item in load(tmp_path).gallery} == {1, 2, 4, 5, 6, 7, 8, 9}


def test_root_is_the_folder_or_its_parent(tmp_path, write_llcm):
    folder = write_llcm(tmp_path)
    assert load(tmp_path).train == load(folder).train


def test_an_identity_listed_twice_counts_once(tmp_path, write_llcm):
    folder = write_llcm(tmp_path)
    (folder / "idx" / "test_id.txt").write_text("3,8,3")
    dataset = load(tmp_path)
    assert len(set(dataset.query)) == len(dataset.query) == 2 * 8 * 2


@pytest.mark.parametrize("lost", ["idx/train_vis.txt", "idx/train_nir.txt", "idx/test_id.txt", "test_vis", "test_nir"])
def test_a_missing_part_is_named(tmp_path, write_llcm, fails, lost):
    folder = write_llcm(tmp_path)
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    with fails(FileNotFoundError, folder / lost, "--root"):
        load(tmp_path)


def test_malformed_lists(tmp_path, write_llcm, fails):
    folder = write_llcm(tmp_path)
    original = (folder / "idx" / "train_nir.txt").read_text()
    (folder / "idx" / "train_nir.txt").write_text(original + "nir/0004/x.jpg four\n")
    with fails(ValueError, folder / "idx" / "train_nir.txt", f"line {original.count(chr(10)) + 1}"):
        load(tmp_path)
    (folder / "idx" / "train_nir.txt").write_text(original)
    (folder / "idx" / "test_id.txt").write_text("3,eight")
    with fails(ValueError, folder / "idx" / "test_id.txt"):
        load(tmp_path)


def test_a_missing_training_image(tmp_path, write_llcm, fails):
    folder = write_llcm(tmp_path)
    shutil.rmtree(folder / "nir" / "0011")
    with fails(FileNotFoundError, folder / "nir" / "0011", "16 of the 32", "train_nir.txt"):
        load(tmp_path)


def test_training_and_test_must_not_share_an_identity(tmp_path, write_llcm, fails):
    folder = write_llcm(tmp_path)
    (folder / "idx" / "test_id.txt").write_text("3,11")
    with fails(ValueError, "identity 0011", "idx"):
        load(tmp_path)


def test_the_protocol_ranks_perfect_features_first(tmp_path, write_llcm):
    write_llcm(tmp_path)
    dataset = load(tmp_path)
    settings = dataset.protocol.score(perfect_features(dataset))
    assert [setting["direction"] for setting in settings] == ["nir->vis", "vis->nir"]
    assert settings[0]["mean"]["rank1"] == settings[0]["mean"]["mAP"] == 1
    assert settings[0]["num_queries"] == len(dataset.query)


def test_galleries_are_random_choice_of_the_sorted_files(tmp_path, write_llcm, random_features):
    folder = write_llcm(tmp_path, test=(3, 8, 21), num_images=5)
    shutil.rmtree(folder / "test_vis" / "cam6" / "0008")
    features = random_features(load(tmp_path))
    for modality, word in ((RGB, "vis"), (IR, "nir")):
        gallery = features.of(modality)
        for trial, rows in enumerate(draw_agw(gallery, range(1, 10))):
            random.seed(trial)
            expected = []
            for pid in (3, 8, 21):
                for camid in range(1, 10):
                    images = folder / f"test_{word}" / f"cam{camid}" / f"{pid:04d}"
                    if images.is_dir():
                        expected.append(str(images / random.choice(sorted(os.listdir(images)))))
            assert gallery.paths[rows].tolist() == expected


def test_a_camera_number_that_does_not_fit_64_bits():
    with pytest.raises(ValueError, match=r"^cam9999.*, camera: the number 9+ does not fit 64 bits"):
        parse_camera("cam" + "9" * 20 + "/0001/a.jpg")
