"""RegDB's adapter on hand-written sets."""

import pytest

from tests.data_layouts import perfect_features
from torchreid_rgbir.data.regdb import RegDB
from torchreid_rgbir.modality import IR, RGB


def load(root, **options):
    return RegDB(root=str(root), verbose=False, **options)


@pytest.mark.parametrize("split_id", [0, 3, 9])
def test_a_split(tmp_path, write_regdb, split_id):
    folder = write_regdb(tmp_path, num_ids=6, num_images=3)
    dataset = load(tmp_path, split_id=split_id)
    train_ids = [pid for pid in range(1, 7) if (pid + split_id + 1) % 2 == 0]
    test_ids = [pid for pid in range(1, 7) if pid not in train_ids]
    assert len(dataset.train) == 3 * 3 * 2 and len(dataset.query) == len(dataset.gallery) == 3 * 3
    for items, ids in ((dataset.train, train_ids), ([*dataset.query, *dataset.gallery], test_ids)):
        for item in items:
            name, pid, file = item.impath.removeprefix(f"{folder}/").split("/")
            assert item.pid == ids.index(int(pid))
            assert (item.modality, item.camid) == {"Visible": (RGB, 1), "Thermal": (IR, 2)}[name]
            assert item.number == int(file[-9:-4]) and item.dsetid == 0
    assert {item.modality for item in dataset.query} == {IR} and {item.modality for item in dataset.gallery} == {RGB}
    assert not {item.impath for item in dataset.train} & {item.impath for item in (*dataset.query, *dataset.gallery)}
    assert dataset.split == split_id + 1


def test_split_1_is_not_split_10(tmp_path, write_regdb):
    write_regdb(tmp_path)
    one, ten = ({item.impath for item in load(tmp_path, split_id=split).train} for split in (0, 9))
    assert not one & ten  # in the hand-written set, odd and even splits train on opposite halves


def test_labels_are_relabeled_in_their_order(tmp_path, write_regdb):
    folder = write_regdb(tmp_path, num_ids=6, num_images=1)
    for name in ("visible", "thermal"):
        path = folder / "idx" / f"train_{name}_1.txt"
        path.write_text(path.read_text().replace(" 0\n", " 64\n").replace(" 2\n", " 9\n"))
    found = {item.impath.split("/")[-2]: item.pid for item in load(tmp_path).train}
    assert found == {"1": 2, "3": 0, "5": 1}  # labels 64, 1 and 9


def test_root_is_the_folder_or_its_parent(tmp_path, write_regdb):
    folder = write_regdb(tmp_path)
    assert load(tmp_path).train == load(folder).train


def test_paths_with_spaces_and_empty_lines_and_windows_line_ends(tmp_path, write_regdb, write_image):
    folder = write_regdb(tmp_path, num_ids=2, num_images=1)
    write_image(folder / "Visible" / "my own" / "an image.bmp")
    path = folder / "idx" / "train_visible_1.txt"
    path.write_bytes(b"\r\n./Visible/my own/an image.bmp 0\r\nVisible/1/visible_00001.bmp\t0\r\n\r\n")
    found = [item.impath for item in load(tmp_path).train if item.modality == RGB]
    assert found == [str(folder / "Visible/1/visible_00001.bmp"), str(folder / "Visible/my own/an image.bmp")]


@pytest.mark.parametrize("split_id", [-1, 10, 99])
def test_no_such_split(tmp_path, write_regdb, fails, split_id):
    write_regdb(tmp_path)
    with fails(ValueError, f"data.split_id {split_id}", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        load(tmp_path, split_id=split_id)


def test_a_split_whose_lists_were_not_written(tmp_path, write_regdb, fails):
    folder = write_regdb(tmp_path, splits=[1, 10])
    with fails(ValueError, folder / "idx", "split 2", "0, 9"):
        load(tmp_path, split_id=1)


def test_no_lists_at_all(tmp_path, write_regdb, fails):
    write_regdb(tmp_path, splits=[])
    with fails(ValueError, "split 1", "official lists"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["train_thermal_1.txt", "test_visible_1.txt"])
def test_a_missing_list(tmp_path, write_regdb, fails, name):
    folder = write_regdb(tmp_path)
    (folder / "idx" / name).unlink()
    with fails(FileNotFoundError, folder / "idx" / name):
        load(tmp_path)


@pytest.mark.parametrize("line", ["Visible/1/visible_00001.bmp", "Visible/1/visible_00001.bmp one", "12", "a b 1.5"])
def test_a_malformed_line_is_named_with_its_number(tmp_path, write_regdb, fails, line):
    folder = write_regdb(tmp_path)
    path = folder / "idx" / "test_visible_1.txt"
    path.write_text(path.read_text().splitlines()[0] + f"\n\n{line}\n")
    with fails(ValueError, path, "line 3", repr(line)):
        load(tmp_path)


def test_an_empty_list(tmp_path, write_regdb, fails):
    folder = write_regdb(tmp_path)
    (folder / "idx" / "train_thermal_1.txt").write_text("\n")
    with fails(ValueError, folder / "idx" / "train_thermal_1.txt"):
        load(tmp_path)


def test_missing_images_are_counted_and_the_first_named(tmp_path, write_regdb, fails):
    folder = write_regdb(tmp_path, num_ids=4, num_images=3)
    for number in (2, 3):
        (folder / "Thermal" / "3" / f"thermal_{number:05d}.bmp").unlink()
    with fails(FileNotFoundError, folder / "Thermal/3/thermal_00002.bmp", "2 of the 6", "train_thermal_1.txt"):
        load(tmp_path)


def test_training_and_test_must_not_share_an_image(tmp_path, write_regdb, fails):
    folder = write_regdb(tmp_path)
    with (folder / "idx" / "train_visible_1.txt").open("a") as file:
        file.write("Visible/2/visible_00001.bmp 1\n")
    with fails(ValueError, folder / "Visible/2/visible_00001.bmp", "split 1"):
        load(tmp_path)


@pytest.mark.parametrize("lost", ["idx", "Visible", "Thermal"])
def test_a_missing_folder(tmp_path, write_regdb, fails, lost):
    folder = write_regdb(tmp_path)
    (folder / lost).rename(tmp_path / "elsewhere")
    with fails(FileNotFoundError, folder / lost, "--root"):
        load(tmp_path)


def test_the_protocol_records_the_split(tmp_path, write_regdb):
    write_regdb(tmp_path, num_ids=6)
    dataset = load(tmp_path, split_id=4)
    settings = dataset.protocol.score(perfect_features(dataset))
    assert settings[0]["split"] == 5 and settings[0]["direction"] == "thermal->visible"
    assert settings[0]["mean"]["rank1"] == settings[0]["mean"]["mINP"] == 1


def test_lists_of_windows_are_read_alike(tmp_path, write_regdb):
    folder = write_regdb(tmp_path)
    expected = load(tmp_path)
    for path in (folder / "idx").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"/", b"\\").replace(b"\n", b"\r\n"))
    found = load(tmp_path)
    assert (found.train, found.query, found.gallery) == (expected.train, expected.query, expected.gallery)


def test_junk_labels_are_not_trained_on(tmp_path, write_regdb):
    folder = write_regdb(tmp_path, num_ids=6)
    path = folder / "idx" / "train_visible_1.txt"
    path.write_text(path.read_text().replace(" 0\n", " -1\n"))
    dataset = load(tmp_path)
    assert len(dataset.junk) == 3 and {item.pid for item in dataset.train} == {0, 1, 2} and len(dataset.train) == 15
