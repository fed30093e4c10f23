"""RGBNT100 and RGBN300: two or three images in each wide file."""

import numpy as np
import pytest
from PIL import Image

from tests.data_layouts import Fails, write_wide
from torchreid_rgbir.cli import main
from torchreid_rgbir.data.cache import cache_images
from torchreid_rgbir.data.images import file_of, part_path, read_image
from torchreid_rgbir.data.wide_images import RGBN300, RGBNT100
from torchreid_rgbir.doctor import diagnose
from torchreid_rgbir.modality import IR, RGB

FILES = {
    "bounding_box_train": ["0501_c0001_000.jpg", "0501_c0002_000.jpg", "0503_c0001_003.jpg"],
    "query": ["0502_c0001_000.jpg", "0504_c0003_000.jpg"],
    "bounding_box_test": ["0502_c0001_000.jpg", "0502_c0002_001.jpg", "0504_c0003_000.jpg", "0504_c0004_000.jpg"],
}


@pytest.fixture
def root(tmp_path):
    return write_wide(tmp_path / "RGBNT100", FILES)


@pytest.mark.parametrize(("ir", "part"), [("nir", 2), ("tir", 3)])
def test_items(root, ir, part):
    dataset = RGBNT100(str(root.parent), ir=ir, verbose=False)
    assert [(item.pid, item.camid, item.modality, item.number) for item in dataset.train] == [
        *((0, 1, RGB, 1), (0, 1, IR, 1), (0, 2, RGB, 1), (0, 2, IR, 1), (1, 1, RGB, 1), (1, 1, IR, 1)),
    ]
    query, gallery = dataset.test_labels().queries(IR), dataset.test_labels().gallery(RGB)
    assert (query.pids.tolist(), query.camids.tolist()) == ([502, 504], [1, 3])
    assert (gallery.pids.tolist(), gallery.camids.tolist()) == ([502, 502, 504, 504], [1, 2, 3, 4])
    assert {path[-5:] for path in query.paths} == {f"{part}of3"[-5:].rjust(5, "#")}
    assert read_image(dataset.query[0].impath).getpixel((8, 4))[0] == pytest.approx(50 * part, abs=2)
    assert read_image(dataset.gallery[0].impath).getpixel((8, 4))[0] == pytest.approx(50, abs=2)
    assert read_image(dataset.gallery[0].impath).size == (16, 8)
    assert [setting.name for setting in dataset.protocol.settings(dataset.test_labels(), "rgb", "")] == [
        {"direction": f"rgb->{ir}"},
        {"direction": f"{ir}->rgb"},
    ]


@pytest.mark.parametrize("place", ["RGBNT100/rgbir", "RGBNT100", "rgbir", "rgbirt", "."])
def test_every_place_in_which_copies_have_the_folders(tmp_path, place):
    write_wide(tmp_path / "written", FILES)
    (tmp_path / "data" / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "written" / "rgbir").rename(tmp_path / "data" / place)
    assert len(RGBNT100(str(tmp_path / "data"), verbose=False).train) == 6


def test_two_parts(tmp_path):
    root = write_wide(tmp_path / "RGBN300", FILES, num_parts=2)
    dataset = RGBN300(str(root), verbose=False)
    assert dataset.query[0].impath.endswith("#2of2")
    with Fails(ValueError, "data.ir is tir", "RGBN300", "set data.ir nir"):
        RGBN300(str(root), ir="tir")


@pytest.mark.parametrize(("size", "count"), [((32, 8), 3), ((48, 8), 2), ((47, 8), 3), ((8, 48), 3)])
def test_a_file_without_these_parts(tmp_path, size, count):
    Image.new("RGB", size).save(tmp_path / "a.jpg")
    with Fails(ValueError, "a.jpg#1of", f"{size[0]} x {size[1]} pixels", f"not {count} parts side by side"):
        read_image(part_path(str(tmp_path / "a.jpg"), 1, count))


def test_a_part_beyond_the_last(tmp_path):
    Image.new("RGB", (48, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="not 3 parts"):
        read_image(f"{tmp_path / 'a.jpg'}#4of3")


def test_the_file_of_a_path():
    assert file_of("a/b.jpg#2of3") == "a/b.jpg"
    assert file_of("a#1of3/b.jpg") == "a#1of3/b.jpg"


def test_the_cache_holds_each_part(root, tmp_path):
    dataset = RGBNT100(str(root), ir="tir", verbose=False)
    paths = [item.impath for item in dataset.train]
    images = cache_images(paths, 8, 16, "disk", tmp_path / "cache", "x")
    for path in paths:
        pixels = images[path].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(pixels, np.asarray(read_image(path)))


def test_names_and_folders_that_are_wrong(root):
    with Fails(FileNotFoundError, "RGBNT100/rgbir/bounding_box_train is missing", "data.root"):
        RGBNT100(str(root.parent.parent))
    (root / "rgbir" / "query" / "0502_c0001_000.jpg").rename(root / "rgbir" / "query" / "car.jpg")
    with Fails(ValueError, "car.jpg", "0502_c0001_000.jpg"):
        RGBNT100(str(root))


def test_the_doctor_checks_every_spectrum(root, capsys):
    Image.new("RGB", (32, 8)).save(root / "rgbir" / "query" / "0504_c0003_000.jpg")
    assert main(["doctor", "--dataset", "rgbnt100", "--root", str(root)]) == 1
    printed = capsys.readouterr().out
    assert "nir, tir: query images (IR)" in printed and "3 images that cannot be read" in printed
    found = {count.what: (count.found, count.expected) for count in diagnose("rgbnt100", root).counts}
    assert found["nir, tir: query images (IR)"] == (2, 1715)
    assert found["nir, tir: gallery images (RGB)"] == (4, 8575)
    (root / "rgbir" / "query" / "deeper").mkdir()
    (root / "rgbir" / "query" / "0502_c0001_000.jpg").rename(root / "rgbir" / "query" / "deeper" / "0502_c0001_000.jpg")
    texts = [finding.text for finding in diagnose("rgbnt100", root).findings]
    assert any("at a place where none is read" in text for text in texts)
