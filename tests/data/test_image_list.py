"""List files as different systems write them."""

import os
import unicodedata

import pytest

from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.image_list import numbered, parse_number, read_image_list, read_text, relabeled
from torchreid_rgbir.modality import IR, RGB


@pytest.fixture
def read(tmp_path):
    """Reads a list with the given bytes; a/1.jpg, a/2.jpg and a/my image.jpg exist."""
    (tmp_path / "a").mkdir()
    for name in ("1.jpg", "2.jpg", "my image.jpg"):
        (tmp_path / "a" / name).touch()
    (tmp_path / "idx").mkdir()

    def read(data):
        (tmp_path / "idx" / "list.txt").write_bytes(data)
        return [
            (os.path.relpath(path, tmp_path), label)
            for path, label in read_image_list(tmp_path / "idx" / "list.txt", tmp_path)
        ]

    return read


@pytest.mark.parametrize(
    "data",
    [
        b"a/1.jpg 3\na/2.jpg 4\n",
        b"\xef\xbb\xbfa/1.jpg 3\na/2.jpg 4",
        b"a/1.jpg 3\r\na/2.jpg 4\r\n",
        b"a/1.jpg 3\ra/2.jpg 4\r",
        b"a\\1.jpg 3\na\\2.jpg 4\n",
        b"\xef\xbb\xbf.\\a\\1.jpg\t3\r\n\r\n.\\a\\2.jpg\t4\r\n",
        b"  ./a/1.jpg 3 \n\n ./a/2.jpg 4 \n",
    ],
)
def test_lists_of_every_system_are_read_alike(read, data):
    assert read(data) == [("a/1.jpg", 3), ("a/2.jpg", 4)]


def test_a_path_may_contain_spaces_and_a_label_may_be_negative(read):
    assert read(b"a/my image.jpg -1\n") == [("a/my image.jpg", -1)]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_list", ["NFC", "NFD"])
def test_both_unicode_forms_name_the_file_that_exists(read, tmp_path, on_disk, in_list):
    name = unicodedata.normalize(on_disk, "Zoë.jpg")
    (tmp_path / "a" / name).touch()
    assert read(unicodedata.normalize(in_list, "a/Zoë.jpg 3").encode()) == [(f"a/{name}", 3)]


def test_names_that_are_not_utf_8(read, tmp_path):
    (tmp_path / "a" / os.fsdecode(b"\xff\xfe.jpg")).touch()
    assert read(b"a/\xff\xfe.jpg 3") == [(os.fsdecode(b"a/\xff\xfe.jpg"), 3)]


def test_a_backslash_in_a_name_that_exists_stays(read, tmp_path):
    (tmp_path / "a\\1.jpg").touch()
    assert read(b"a\\1.jpg 3\na/1.jpg 3\n") == [("a\\1.jpg", 3), ("a/1.jpg", 3)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(read, tmp_path, fails, encoding):
    with fails(ValueError, tmp_path / "idx" / "list.txt", "save it as UTF-8"):
        read("a/1.jpg 3\n".encode(encoding))


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"a/1.jpg 3\na/2.jpg\n", ["line 2", "path label", "a/2.jpg"]),
        (b"a/1.jpg three\n", ["line 1", "path label"]),
        (b"a/1.jpg 1.5\n", ["line 1", "path label"]),
        (b"\n\na/1.jpg 9223372036854775808\n", ["line 3, column 2 (label)", "9223372036854775808", "64 bits"]),
        (b"a/1.jpg " + b"9" * 5000, ["line 1, column 2 (label)", "64 bits"]),
        (b"a/1.jpg 3\na\\1.jpg 3\n", ["line 2", "a/1.jpg", "a second time"]),
        (b"a/1.jpg 3\n./a/1.jpg 4\n", ["line 2", "a second time"]),
        (b"\r\n", ["lists no image"]),
        (b"", ["lists no image"]),
    ],
)
def test_a_wrong_line_is_reported_with_its_place(read, tmp_path, fails, data, parts):
    with fails(ValueError, tmp_path / "idx" / "list.txt", *parts):
        read(data)


def test_a_missing_image_is_reported_with_the_separators_of_this_system(read, tmp_path, fails):
    with fails(FileNotFoundError, tmp_path / "b" / "9.jpg", "1 of the 2"):
        read(b"a/1.jpg 3\nb\\9.jpg 3\n")


def test_text_keeps_its_lines(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1,2\r\n3")
    assert read_text(tmp_path / "a.txt") == "1,2\r\n3"


def test_numbers_up_to_64_bits():
    for text, number in (
        ("0", 0),
        ("0004", 4),
        ("0" * 30 + "7", 7),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
    ):
        assert parse_number(text, "here") == number
    for text in (str(2**63), str(-(2**63) - 1), "9" * 5000):
        with pytest.raises(ValueError, match="^here: the number .* does not fit 64 bits"):
            parse_number(text, "here")


def test_junk_labels_are_not_relabeled():
    items = [Item(str(pid), pid, 0, 0, RGB, 1) for pid in (7, -1, 3, 7)]
    assert [item.pid for item in relabeled(items)] == [1, -1, 0, 1]


def test_images_are_numbered_by_path_within_identity_modality_and_camera():
    items = [Item(path, pid, camid, 0, modality, 0) for path, pid, camid, modality in (
        ("b", 1, 1, RGB), ("a", 1, 1, RGB), ("c", 1, 2, RGB), ("d", 2, 1, RGB), ("e", 1, 1, IR)
    )]  # fmt: skip
    assert [(item.impath, item.number) for item in numbered(items)] == [
        ("a", 1),
        ("b", 2),
        ("c", 1),
        ("d", 1),
        ("e", 1),
    ]


def test_listed_files_are_found_by_listing_folders_and_not_one_by_one(read, tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    names = [f"{folder}/{number}.jpg" for folder in "ab" for number in range(3, 60)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "b" / "linked.jpg").symlink_to(tmp_path / "a" / "1.jpg")
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(os.path.basename(folder)) or scandir(folder))
    monkeypatch.setattr(os.path, "isfile", lambda path: pytest.fail(f"{path} was looked up on its own"))
    names.append("b/linked.jpg")
    assert read("".join(f"{name} 1\n" for name in names).encode()) == [(name, 1) for name in names]
    assert listed == ["a", "b"]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_listed_folder_or_a_link_to_nothing_is_missing(read, tmp_path, kind):
    path = tmp_path / "a" / "3.jpg"
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere.jpg")
    with pytest.raises(FileNotFoundError, match=r"3\.jpg is missing \(1 of the 2 images"):
        read(b"a/1.jpg 1\na/3.jpg 1\n")


def test_images_of_a_folder_that_cannot_be_listed_are_found(read, monkeypatch):
    def refused(folder):
        raise PermissionError(folder)

    monkeypatch.setattr(os, "scandir", refused)
    assert read(b"a/1.jpg 3\n") == [("a/1.jpg", 3)]
