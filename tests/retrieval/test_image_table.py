import json
from datetime import datetime, timedelta, timezone

import pytest
from PIL import Image

from torchreid_rgbir.retrieval import read_image_table
from torchreid_rgbir.retrieval.build_gallery import _state
from torchreid_rgbir.retrieval.image_table import labeled_images


@pytest.fixture
def folder(tmp_path):
    for name in ("bert/c2_1.jpg", "anna/b.png", "anna/c12_a.jpg", "anna/notes.txt", ".hidden/a.jpg", "loose.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 8)).save(path, "PNG")
    return tmp_path / "photos"


def test_a_folder(folder):
    rows = read_image_table(folder)
    assert [path.removeprefix(f"{folder}/") for path in rows.paths] == ["anna/b.png", "anna/c12_a.jpg", "bert/c2_1.jpg"]
    assert rows.categories.tolist() == ["anna", "anna", "bert"]
    assert rows.cameras.tolist() == [0, 12, 2]


def test_images_in_deeper_folders_belong_to_their_category(folder, caplog):
    (folder / "anna/2026/may").mkdir(parents=True)
    Image.new("L", (4, 8)).save(folder / "anna/2026/may/c3_1.png")
    (folder / "zoe").symlink_to(folder / "bert")
    with caplog.at_level("INFO", "torchreid_rgbir"):
        rows = read_image_table(folder)
    names = [path.removeprefix(f"{folder}/") for path in rows.paths]
    assert names == ["anna/2026/may/c3_1.png", "anna/b.png", "anna/c12_a.jpg", "bert/c2_1.jpg"]
    assert rows.categories.tolist() == ["anna", "anna", "anna", "bert"]
    assert rows.cameras.tolist() == [3, 0, 12, 2]
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("skipped 2 files") and "not images" in line for line in lines)  # notes.txt and .hidden
    assert any(line.startswith("skipped 1 links") for line in lines)
    assert f"skipped 1 images that are not in a category folder of {folder}" in lines


def test_junk_folders_are_skipped_and_counted(folder, caplog):
    (folder / "anna").rename(folder / "-1")
    rows = read_image_table(folder)
    assert rows.categories.tolist() == ["bert"]
    lines = [record.getMessage() for record in caplog.records]
    assert f"skipped 2 junk images of {folder}: the name of their folder is a negative number" in lines
    (folder / "bert").rename(folder / "-2")
    with pytest.raises(ValueError, match="its folders are negative numbers, which mark junk"):
        read_image_table(folder)


def test_labeled_images(folder, tmp_path, monkeypatch, caplog):
    """A folder's images have its first folders as identities; files have the folder that contains them."""
    (folder / "anna/deep").mkdir()
    Image.new("L", (4, 8)).save(folder / "anna/deep/1.png")
    found = dict(labeled_images([folder]))
    names = {path.removeprefix(f"{folder}/"): identity for path, identity in found.items()}
    assert names == {
        "anna/b.png": "anna",
        "anna/c12_a.jpg": "anna",
        "anna/deep/1.png": "anna",
        "bert/c2_1.jpg": "bert",
        "loose.jpg": "photos",
    }
    assert labeled_images([folder / "anna/deep/1.png"]) == [(str(folder / "anna/deep/1.png"), "deep")]
    assert {identity for _, identity in labeled_images([folder / "bert"])} == {"bert"}
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link.png").symlink_to(folder / "anna/b.png")
    with caplog.at_level("INFO", "torchreid_rgbir"):
        assert len(labeled_images(["~/photos", folder / ".." / "photos", tmp_path / "link.png"])) == 5
    assert "skipped 6 images that are given twice" in caplog.text
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        labeled_images([tmp_path / "nowhere"])


def test_a_table_as_other_systems_write_it(folder):
    """A byte order mark, CRLF, backslashes, a field of a megabyte, and Z for UTC."""
    path = folder.parent / "list.csv"
    text = "path,category,time,extra\r\nphotos\\anna\\b.png,anna,2026-05-31T08:00:00Z,"
    path.write_bytes(("\ufeff" + text + '"{""n"": ""' + "x" * 2**20 + '""}"\r\n').encode())
    match = read_image_table(path).match(0, 0.0)
    assert match.path == str(folder / "anna/b.png")
    assert match.time == datetime(2026, 5, 31, 8, tzinfo=timezone.utc)
    assert len(match.extra["n"]) == 2**20


def test_a_table(folder):
    path = folder.parent / "list.csv"
    path.write_text(
        "camera,path,category,extra,time\n"
        '3,photos/anna/b.png,"Anna, née B.","{""gate"": 4}",2026-05-31T08:00:00+02:00\n'
        ",photos/bert/c2_1.jpg,bert,,\n"
    )
    rows = read_image_table(path)
    first, second = rows.match(0, 0.5), rows.match(1, 0.5)
    assert first.path == str(folder / "anna/b.png")
    assert (first.category, first.camera, first.extra) == ("Anna, née B.", 3, {"gate": 4})
    assert first.time == datetime(2026, 5, 31, 8, tzinfo=timezone(timedelta(hours=2)))
    assert (second.category, second.camera, second.time, second.extra) == ("bert", 0, None, {})
    assert json.loads(rows.extras[0]) == {"gate": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns : expected path and category"),
        ("path,category,color\n", "color: expected path and category"),
        ("path,category\n", "lists no image"),
        ("path,category\nphotos/anna/b.png\n", "line 2: the number of cells differs"),
        ("path,category\nphotos/anna/b.png,\n", "line 2: the category is empty"),
        ("path,category\nphotos/anna/x.png,anna\n", "line 2: .*x.png is missing"),
        ("path,category,camera\nphotos/anna/b.png,anna,east\n", "line 2: column camera: east"),
        (
            f"path,category,camera\nphotos/anna/b.png,anna,{2**63}\n",
            "line 2: column camera: 9223372036854775808 is not",
        ),
        ("path,category,camera\nphotos/anna/b.png,anna,-1\n", "line 2: column camera: -1 is not"),
        ("path,category\nphotos/anna/b.png,anna\nphotos/bert/../anna/b.png,bert\n", "lists one file twice, as .*b.png"),
        ("path,category,time\nphotos/anna/b.png,anna,yesterday\n", "line 2: column time: .*yesterday"),
        ("path,category,time\nphotos/anna/b.png,anna,2026-05-31T08:00\n", "line 2: .*has no time zone"),
        ("path,category,extra\nphotos/anna/b.png,anna,[1]\n", "line 2: column extra: .1. is not a JSON object"),
        ("path,category,extra\nphotos/anna/b.png,anna,{\n", "line 2: column extra: . is not JSON"),
        ("path,category\nphotos/anna/b.png,anna\nphotos/anna/b.png,bert\n", "lists one file twice, as .*b.png"),
    ],
)
def test_tables_with_mistakes(folder, text, message):
    path = folder.parent / "list.csv"
    path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read_image_table(path)
    assert "\n" not in str(caught.value)


def test_folders_with_mistakes(folder, tmp_path):
    with pytest.raises(ValueError, match="its images are not in category folders"):
        read_image_table(folder / "anna")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"contains no CATEGORY/\*.jpg"):
        read_image_table(tmp_path / "empty")
    for name in ("nowhere", "nowhere.csv"):
        with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
            read_image_table(tmp_path / name)


def test_a_table_in_utf_16(folder):
    path = folder.parent / "list.csv"
    path.write_text("path,category\nphotos/anna/b.png,anna\n", encoding="utf-16")
    with pytest.raises(ValueError, match="list.csv is not a valid CSV table .*write it as UTF-8") as caught:
        read_image_table(path)
    assert "\n" not in str(caught.value)


def test_a_link_loop_is_named(folder):
    (folder / "anna/up").symlink_to(folder)
    with pytest.raises(ValueError, match="anna/up is a link that leads back to itself"):
        read_image_table(folder)


def test_a_part_of_a_wide_file_in_a_table(tmp_path):
    """Its state is that of the file, so a gallery notices that the file has changed."""
    Image.new("RGB", (48, 8)).save(tmp_path / "wide.png")
    (tmp_path / "list.csv").write_text("path,category\nwide.png#1of3,a\nwide.png#2of3,b\n")
    rows = read_image_table(tmp_path / "list.csv")
    assert [path[-4:] for path in rows.paths] == ["1of3", "2of3"]
    state = _state(rows.paths[0], None)
    assert state == _state(str(tmp_path / "wide.png"), None) != ""
    Image.new("RGB", (48, 8), (9, 9, 9)).save(tmp_path / "wide.png")
    assert _state(rows.paths[0], state) != state
