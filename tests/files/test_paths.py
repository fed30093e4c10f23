"""One file under several names."""

import os
import unicodedata
from pathlib import Path

import pytest

from torchreid_rgbir.files.paths import expand, same_file_key, without_duplicates

NFC, NFD = (unicodedata.normalize(form, "Jos\u00e9") for form in ("NFC", "NFD"))


@pytest.fixture
def image(tmp_path, monkeypatch):
    """~/photos/a.jpg, seen from ~/photos/inner."""
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "photos" / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "album").symlink_to("photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "photos" / "inner")
    return tmp_path / "photos" / "a.jpg"


NAMES = ["~/photos/a.jpg", "../a.jpg", "../inner/../a.jpg", "~/photos/link.jpg", "~/album/a.jpg", "~/album/./link.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_file_has_one_key(image, name):
    assert same_file_key(name) == same_file_key(image) == str(image.resolve())


def test_a_path_is_shown_as_it_was_given(image):
    assert expand("~/album/../album/link.jpg") == image.parents[1] / "album" / "link.jpg"
    assert expand("../a.jpg") == image


def test_duplicates_keep_the_first_name(image):
    kept, duplicates = without_duplicates(["../link.jpg", str(image), "../inner", "../link.jpg"])
    assert kept == ["../link.jpg", "../inner"]
    assert duplicates == {str(image): "../link.jpg", "../link.jpg": "../link.jpg"}


def test_a_composed_and_a_decomposed_name_are_one(tmp_path):
    assert NFC != NFD and same_file_key(tmp_path / NFC) == same_file_key(tmp_path / NFD)
    (tmp_path / NFC).touch()
    assert without_duplicates([str(tmp_path / NFC), str(tmp_path / NFD)])[0] == [str(tmp_path / NFC)]
    (tmp_path / NFD).touch()
    with pytest.raises(ValueError, match="differ only in the Unicode form of their names: rename one of them"):
        without_duplicates([str(tmp_path / NFC), str(tmp_path / NFD)])


def test_a_name_that_is_not_utf_8_has_a_key(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/c1_\xe9.jpg"))
    path.touch()
    assert os.path.samefile(same_file_key(path), path)
