"""Links with distinct names for images of the same file name."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.unique_names import with_unique_names


def _items(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return [Item(str(root / name), 1, 1, 0, 0, 1) for name in names]


def test_images_of_the_same_name_get_links_with_distinct_names(tmp_path):
    items = _items(tmp_path / "data", "cam1/0001/1.jpg", "cam1/0002/1.jpg", "cam2/0001/1.jpg")
    links = tmp_path / "links"
    links.mkdir()
    linked = with_unique_names(items, links)
    names = ["0000_1.jpg", "0001_1.jpg", "0002_1.jpg"]
    assert [os.path.basename(item.impath) for item in linked] == names
    for old, new in zip(items, linked, strict=True):
        assert os.path.samefile(old.impath, new.impath) and new[1:] == old[1:]


def test_distinct_names_stay(tmp_path):
    items = _items(tmp_path / "data", "a/1.jpg", "b/2.jpg")
    assert with_unique_names(items, tmp_path / "nosuch") == items


def test_every_set_of_images_gets_distinct_names(tmp_path):
    long = "/".join(["é" * 120] * 2)
    names = ["a/b_x.jpg", "a_b/x.jpg", "q/x.jpg", "q/x.png", f"{long}.jpg", f"q/{long}.jpg"]
    items = _items(tmp_path / "d", *names)
    items.append(items[0])  # listed twice
    links = tmp_path / "links"
    links.mkdir()
    linked = with_unique_names(items, links)
    stems = {os.path.splitext(os.path.basename(item.impath))[0] for item in linked}
    assert len(stems) == len(items) and max(len(os.fsencode(stem)) for stem in stems) < 200
    for old, new in zip(items, linked, strict=True):
        assert os.path.samefile(old.impath, new.impath)


def test_parts_of_wide_files_become_files(tmp_path):
    for name, gray in (("one", 50), ("two", 90)):
        pixels = np.repeat(np.array([gray, gray + 40], np.uint8), 16)
        Image.fromarray(np.tile(pixels, (8, 1))).save(tmp_path / f"{name}.jpg", quality=100)
    (tmp_path / "links").mkdir()
    items = [Item(str(tmp_path / name), 1, 1, 0, 0, 1) for name in ("one.jpg#1of2", "two.jpg#2of2")]
    found = with_unique_names(items, tmp_path / "links")
    assert [Path(item.impath).name for item in found] == ["0000_one.jpg", "0001_two.jpg"]
    for item, gray in zip(found, (50, 130), strict=True):
        image = Image.open(item.impath)
        assert image.size == (16, 8) and abs(image.getpixel((8, 4))[0] - gray) < 4
