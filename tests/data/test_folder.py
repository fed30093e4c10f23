"""The folder data set on hand-written folders."""

import os
import shutil
import unicodedata

import pytest

from tests.data_layouts import perfect_features
from torchreid_rgbir.data.folder import RGBIRFolder, parse_camera
from torchreid_rgbir.modality import IR, NAMES, RGB

FILES = {"rgb": ["c1_a.jpg", "c2_a.png", "c2_b.JPG"], "ir": ["c12_a.jpeg", "x.bmp"]}


def load(root, **options):
    return RGBIRFolder(root=str(root), verbose=False, **options)


def test_names_become_labels_in_their_order(tmp_path, write_folder):
    write_folder(tmp_path, ["Zoë", "ab 12", "0007"], ["truck", "car"], FILES)
    dataset = load(tmp_path)
    assert dataset.train_names == ["0007", "Zoë", "ab 12"] and dataset.test_names == ["car", "truck"]
    assert len(dataset.train) == 3 * 5 and len(dataset.query) == 2 * 2 and len(dataset.gallery) == 2 * 3
    for items, names in (
        (dataset.train, dataset.train_names),
        ([*dataset.query, *dataset.gallery], dataset.test_names),
    ):
        for item in items:
            subset, modality, name, file = item.impath.removeprefix(f"{tmp_path}/").split("/")
            assert names[item.pid] == name and NAMES[item.modality] == modality
            assert item.number == FILES[modality].index(file) + 1
            assert item.camid == {"c1_a.jpg": 1, "c12_a.jpeg": 12, "x.bmp": 0}.get(file, 2)
    assert {item.modality for item in dataset.query} == {IR} and {item.modality for item in dataset.gallery} == {RGB}


def test_parse_camera():
    assert [parse_camera(name) for name in ("c1_a.jpg", "c007_a.jpg", "c1.jpg", "xc1_a.jpg", "c_1.jpg", "C1_a.jpg")] == [
        1, 7, 0, 0, 0, 0,
    ]  # fmt: skip


def test_an_identity_of_one_modality_keeps_its_label(tmp_path, write_folder):
    write_folder(tmp_path, ["a", "b", "c"], ["d"], FILES)
    shutil.rmtree(tmp_path / "train" / "ir" / "b")
    dataset = load(tmp_path)
    assert dataset.train_names == ["a", "b", "c"]
    assert {item.modality for item in dataset.train if item.pid == 1} == {RGB}


def test_stray_files_and_hidden_folders_are_nobody(tmp_path, write_folder, write_image):
    write_folder(tmp_path, ["a", "b"], ["d"], FILES)
    write_image(tmp_path / "train" / "rgb" / ".thumbnails" / "c1_a.jpg")
    write_image(tmp_path / "train" / "rgb" / "lost.jpg")
    (tmp_path / "train" / "rgb" / "empty").mkdir()
    (tmp_path / "train" / "rgb" / "a" / "notes.txt").write_text("a")
    dataset = load(tmp_path)
    assert dataset.train_names == ["a", "b"] and len(dataset.train) == 2 * 5


@pytest.mark.parametrize("lost", ["train/rgb", "train/ir", "test/rgb", "test/ir", "train", "test"])
def test_a_missing_folder_is_named(tmp_path, write_folder, fails, lost):
    write_folder(tmp_path, ["a", "b"], ["d"], FILES)
    shutil.rmtree(tmp_path / lost)
    with fails(FileNotFoundError, tmp_path / lost, "--root"):
        load(tmp_path)


def test_no_images(tmp_path, write_folder, fails):
    write_folder(tmp_path, ["a", "b"], ["d"], {**FILES, "ir": []})
    with fails(ValueError, "query"):
        load(tmp_path)


def test_the_protocol_ranks_perfect_features_first(tmp_path, write_folder):
    write_folder(tmp_path, ["a", "b"], ["c", "d"], FILES)
    dataset = load(tmp_path)
    settings = dataset.protocol.score(perfect_features(dataset))
    assert settings[0]["direction"] == "ir->rgb" and settings[0]["mean"]["rank1"] == 1


def test_deeper_folders_belong_to_the_identity(tmp_path, write_folder, write_image):
    write_folder(tmp_path, ["a", "b"], ["d"], FILES)
    write_image(tmp_path / "train" / "rgb" / "a" / "morning" / "gate" / "c4_0.jpg")
    write_image(tmp_path / "train" / "rgb" / "a" / "morning" / ".hidden" / "c4_1.jpg")
    write_image(tmp_path / "train" / "rgb" / "new" / "evening" / "c4_0.jpg")
    dataset = load(tmp_path)
    assert dataset.train_names == ["a", "b", "new"]
    added = [item for item in dataset.train if item.camid == 4]
    assert [os.path.relpath(item.impath, tmp_path / "train" / "rgb") for item in added] == [
        "a/morning/gate/c4_0.jpg", "new/evening/c4_0.jpg",
    ]  # fmt: skip
    assert [item.pid for item in added] == [0, 2] and [item.number for item in added] == [4, 1]


def test_a_link_is_followed_once_and_a_loop_is_an_error(tmp_path, write_folder, fails):
    write_folder(tmp_path, ["a", "b"], ["d"], FILES)
    plain = load(tmp_path)
    rgb = tmp_path / "train" / "rgb"
    (rgb / "b").rename(tmp_path / "elsewhere")
    (rgb / "b").symlink_to(tmp_path / "elsewhere")
    (rgb / "again").symlink_to(rgb / "a")
    (rgb / "a" / "again.jpg").symlink_to(rgb / "a" / "c1_a.jpg")
    linked = load(tmp_path)
    assert linked.train == plain.train and linked.train_names == ["a", "b"]
    (rgb / "a" / "loop").symlink_to(rgb)
    with fails(ValueError, rgb / "a" / "loop", "link"):
        load(tmp_path)


def test_both_unicode_forms_of_a_name_are_one_identity(tmp_path, write_folder):
    write_folder(tmp_path, ["a"], ["d"], FILES)
    (tmp_path / "train" / "rgb" / "a").rename(tmp_path / "train" / "rgb" / unicodedata.normalize("NFC", "Zoë"))
    (tmp_path / "train" / "ir" / "a").rename(tmp_path / "train" / "ir" / unicodedata.normalize("NFD", "Zoë"))
    dataset = load(tmp_path)
    assert dataset.train_names == [unicodedata.normalize("NFC", "Zoë")]
    assert {item.pid for item in dataset.train} == {0} and {item.modality for item in dataset.train} == {RGB, IR}


def test_a_folder_with_a_negative_number_is_junk(tmp_path, write_folder):
    write_folder(tmp_path / "with", ["-1", "a", "b"], ["-1", "c", "d", "-x"], FILES)
    write_folder(tmp_path / "without", ["a", "b"], ["c", "d", "-x"], FILES)
    dataset, without = load(tmp_path / "with"), load(tmp_path / "without")
    assert dataset.train_names == ["a", "b"] and dataset.test_names == ["-x", "c", "d"]
    assert [item[1:] for item in dataset.train] == [item[1:] for item in without.train]
    assert len(dataset.junk) == 5 and {item.pid for item in dataset.junk} == {-1}
    assert dataset.num_train_pids == 2
    [setting] = dataset.protocol.score(perfect_features(dataset))
    [expected] = without.protocol.score(perfect_features(without))
    assert setting == expected | {"num_junk": 5}


@pytest.mark.parametrize("digits", ["9223372036854775808", "1" + "0" * 30, "9" * 5000])
def test_a_camera_number_that_does_not_fit_64_bits(digits):
    with pytest.raises(ValueError, match=rf"^c{digits[:30]}.*_1.jpg, camera: .* does not fit 64 bits"):
        parse_camera(f"c{digits}_1.jpg")
