"""The folder data set on hand-written folders."""

import shutil

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
