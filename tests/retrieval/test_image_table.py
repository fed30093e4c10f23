import json
from datetime import datetime, timedelta, timezone

import pytest
from PIL import Image

from torchreid_rgbir.retrieval import read_image_table


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
