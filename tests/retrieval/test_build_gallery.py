"""Adding images to a gallery: each file once, under whatever name and by however many commands, and again when it has changed."""

import multiprocessing
import os
import shutil
import tarfile
import time
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.retrieval import Filter, Gallery, ReferenceTable, lance_access
from torchreid_rgbir.retrieval import build_gallery as build
from torchreid_rgbir.retrieval.build_gallery import build_gallery
from torchreid_rgbir.retrieval.reference_table import file_keys

pytest.importorskip("lancedb")
FINGERPRINT = "0123456789abcdef" * 2
SPAWN = multiprocessing.get_context("spawn")


class FakeExtractor:
    """Its features are the colors of an image, so that a test can tell which content was extracted."""

    fingerprint = FINGERPRINT
    model = SimpleNamespace(feature_dim=3)

    def __init__(self):
        self.paths = []

    def __call__(self, paths, modality, batch_size=64):
        self.paths += paths
        return np.array([Image.open(path).convert("RGB").getpixel((0, 0)) for path in paths], np.float32) + 1


def write(path, color):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 8), color).save(path)


@pytest.fixture
def photos(tmp_path):
    for i in range(6):
        write(tmp_path / f"photos/p{i // 2}/c{i % 2 + 1}_{i}.png", (40 * i, 0, 255))
    return tmp_path / "photos"


def add(where, photos, extractor=None):
    return build_gallery(str(where), extractor or FakeExtractor(), photos, "rgb")[1:]


def test_a_changed_file_is_extracted_again(photos, tmp_path):
    where = tmp_path / "gallery"
    assert add(where, photos) == (6, 0, 0)
    assert add(where, photos) == (0, 0, 6)
    changed, touched, same_size = (photos / name for name in ("p0/c1_0.png", "p1/c1_2.png", "p2/c1_4.png"))
    write(changed, (1, 2, 3))
    os.utime(touched, ns=(0, 0))
    before = same_size.stat()
    same_size.write_bytes(same_size.read_bytes()[:-1] + b"x")  # only the content and the time differ
    assert same_size.stat().st_size == before.st_size
    extractor = FakeExtractor()
    assert add(where, photos, extractor) == (0, 2, 4)
    assert extractor.paths == [str(changed), str(same_size)]
    gallery = Gallery.open(where)
    assert len(gallery) == 6
    assert gallery.search(np.array([[2, 3, 4.0]]), 1)[0][0].path == str(changed)
    assert add(where, photos) == (0, 0, 6)


@pytest.mark.parametrize("name", ["relative", "dots", "home", "link", "linked folder", "other folder"])
def test_a_file_has_one_row_under_any_name(photos, tmp_path, monkeypatch, name):
    where = tmp_path / "gallery"
    add(where, photos)
    monkeypatch.chdir(photos.parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "q").symlink_to(photos / "p0")
    (tmp_path / "images/p0").mkdir(parents=True)
    (tmp_path / "images/p0/again.png").symlink_to(photos / "p0/c1_0.png")
    source, num = {
        "relative": ("photos", 6),
        "dots": (f"{photos}/../photos", 6),
        "home": ("~/photos", 6),
        "link": (tmp_path / "link", 6),
        "linked folder": (tmp_path / "other", 2),
        "other folder": (tmp_path / "images", 1),
    }[name]
    assert add(where, source) == (0, 0, num)
    assert len(Gallery.open(where)) == 6


def test_the_unicode_form_of_a_name_does_not_matter(tmp_path, capsys):
    composed, decomposed = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    write(tmp_path / "photos" / decomposed / "é.png", (1, 2, 3))
    where = tmp_path / "gallery"
    add(where, tmp_path / "photos")
    (tmp_path / "photos" / decomposed).rename(tmp_path / "photos" / composed)  # as a copy to a different system does
    assert add(where, tmp_path / "photos") == (0, 0, 1)
    gallery = Gallery.open(where)
    assert gallery.rows().categories.tolist() == [composed]
    assert len(gallery.rows(Filter(categories=[decomposed]))) == 1
    path = str(tmp_path / "photos" / composed / "é.png")
    assert main(["gallery", "remove", str(where), "--path", path]) == 0
    assert "removed 1 images: 0 left" in capsys.readouterr().out


def test_a_table_row_and_a_filter_agree_on_the_unicode_form():
    composed, decomposed = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    rows = ReferenceTable.of(["a", "b"], [decomposed, "x"])
    assert rows.mask(Filter(categories=[composed])).tolist() == rows.mask(Filter(categories=[decomposed])).tolist()
    assert rows.mask(Filter(categories=[composed])).tolist() == [True, False]


@pytest.fixture
def old_gallery(tmp_path):
    """A gallery of version 0.1.0: 12 images of 4 categories, features of 8 numbers, a threshold."""
    with tarfile.open(Path(__file__).parent / "data/gallery_0.1.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "gallery", np.load(tmp_path / "features.npy")


def test_a_gallery_of_version_0_1_0(old_gallery):
    where, features = old_gallery
    gallery = Gallery.open(where)
    assert (len(gallery), gallery.about.threshold, gallery.about.modality, gallery.about.dim) == (12, 0.25, "rgb", 8)
    gallery.check(FINGERPRINT, "rgb")
    for i, [match] in enumerate(gallery.search(features, 1)):
        assert match.path == f"/data/photos/person{i // 3}/c{i % 3 + 1}_{i}.jpg"
        assert match.score == pytest.approx(1, abs=1e-6)
        assert (match.category, match.camera) == (f"person{i // 3}", i % 3 + 1)
        assert match.extra == ({"number": i} if i % 4 == 0 else {})
        assert (match.time.hour if match.time else None) == (i if i % 2 else None)
    gallery.compact(index=True)  # with the columns that it has
    assert len(gallery.search(features[:1], 3, exact=False)[0]) == 3
    gallery.add(features[:1], ReferenceTable.of(["new"], ["new"], states=["1 2 3"]))
    gallery.set_threshold(0.5)
    opened = Gallery.open(where)
    assert (len(opened), opened.about.threshold, opened.about.fingerprint) == (13, 0.5, FINGERPRINT)
    assert sorted(opened.rows().states) == [""] * 12 + ["1 2 3"]
    assert opened.remove(Filter(categories=["person0"])) == 3


def test_images_that_an_earlier_version_stored_are_known(photos, tmp_path):
    """They have no state, so a change cannot be seen, and their paths may have dots."""
    gallery = Gallery.create(tmp_path / "gallery", FINGERPRINT, 3, "rgb")
    paths = sorted(str(path) for path in photos.rglob("*.png"))
    gallery.add(np.ones((5, 3)), ReferenceTable.of([f"{photos}/../photos/p0/c1_0.png", *paths[1:5]], ["x"] * 5))
    assert add(tmp_path / "gallery", photos) == (1, 0, 5)
    assert len(Gallery.open(tmp_path / "gallery")) == 6


def test_compact_removes_duplicates(photos, tmp_path, capsys):
    where = tmp_path / "gallery"
    add(where, photos)
    gallery = Gallery.open(where)
    rows = gallery.rows().take(slice(0, 3))
    (tmp_path / "link").symlink_to(photos)
    linked = ReferenceTable.of([str(path).replace("/photos/", "/link/") for path in rows.paths[:2]], ["x", "x"])
    gallery.add(np.ones((2, 3)), linked)
    # What two writers of version 0.1.0 left: equal paths, which no call of today stores.
    table = gallery.store._table
    table.add(table.search().limit(3).to_arrow().select(table.schema.names))
    assert table.count_rows() == 6 + 2 + 3
    assert main(["gallery", "compact", str(where)]) == 0
    assert capsys.readouterr().out == f"6 images in {where}, removed 5 duplicates\n"
    paths = Gallery.open(where).rows().paths
    assert sorted(paths) == sorted(str(path) for path in photos.rglob("*.png"))
    assert Gallery.open(where).compact() == 0


def test_keys_resolve_links_of_files_and_folders(tmp_path):
    write(tmp_path / "a/1.png", (0, 0, 0))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "2.png").symlink_to(tmp_path / "a/1.png")
    keys = file_keys(
        [str(tmp_path / name) for name in ("a/1.png", "b/1.png", "2.png", "a/3.png")] + ["a name", "1.png"]
    )
    assert len(set(keys[:3])) == 1
    assert len(set(keys)) == 4 and keys[4:] == ["a name", "1.png"]


def test_a_command_that_adds_the_same_files_meanwhile_under_other_names(photos, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / "first").mkdir()
    (tmp_path / "first/p1").symlink_to(photos / "p1")
    monkeypatch.setattr(build, "COMMIT_ROWS", 4)
    others = [tmp_path / "first", tmp_path / "link"]

    class Slow(FakeExtractor):
        def __call__(self, *args):
            if others:
                add(tmp_path / "gallery", others.pop(0))
            return super().__call__(*args)

    add(tmp_path / "gallery", photos, Slow())
    rows = Gallery.open(tmp_path / "gallery").rows()
    assert not others and len(rows) == len(set(file_keys(rows.paths))) == 6
    folders = {Path(path).relative_to(tmp_path).parts[:2] for path in rows.paths}
    assert folders == {("photos", "p0"), ("first", "p1"), ("link", "p2")}  # each under the name that was stored first


def adder(where, photos, barrier):
    barrier.wait()
    add(where, photos)


def test_several_commands_make_and_fill_one_gallery(photos, tmp_path):
    where, barrier = tmp_path / "gallery", SPAWN.Barrier(4)
    processes = [SPAWN.Process(target=adder, args=(where, photos, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * 4
    gallery = Gallery.open(where)
    assert len(gallery) == len(set(gallery.rows().paths)) == 6


def test_a_writer_that_waits_too_long_ends_with_one_line(photos, tmp_path, monkeypatch):
    add(tmp_path / "gallery", photos)
    monkeypatch.setattr(lance_access, "MAX_WAIT", 0.1)
    gallery = Gallery.open(tmp_path / "gallery")
    with (
        lance_access.only_writer(str(tmp_path / "gallery")),
        pytest.raises(OSError, match="gallery has been written by a different process for 0.1 s: repeat the command"),
    ):
        gallery.remove(Filter(categories=["p0"]))
    assert gallery.remove(Filter(categories=["p0"])) == 2


@pytest.mark.parametrize("exact", [True, False])
def test_a_reader_continues_after_an_erasure(clustered, tmp_path, exact):
    features, rows = clustered
    gallery = Gallery.create(tmp_path / "gallery", FINGERPRINT, 32, "rgb")
    gallery.add(features, rows)
    gallery.compact(index=True)
    reader = Gallery.open(tmp_path / "gallery")
    gallery.remove(Filter(paths=[rows.paths[0]]))
    gallery.compact(erase=True)
    [found] = reader.search(features[:1], 5, exact=exact)
    assert len(found) == 5 and rows.paths[0] not in {match.path for match in found}
    assert len(reader) == len(reader.rows()) == 199


def test_names_that_cannot_be_stored_are_named_before_the_extraction(photos, tmp_path):
    bad = os.fsdecode(os.fsencode(photos / "p0") + b"/c1_\xe9.png")
    shutil.copy(photos / "p0/c1_0.png", bad)
    extractor = FakeExtractor()
    with pytest.raises(ValueError, match=r"p0/c1_.*\.png' has a path that is not UTF-8: rename"):
        add(tmp_path / "gallery", photos, extractor)
    assert extractor.paths == []


@pytest.mark.faults
def test_many_writers_and_readers(photos, tmp_path):
    """Four writers and two readers: each acknowledged image is stored exactly once, and no reader fails.

    It takes ten seconds, or GALLERY_SECONDS.
    """
    where, seconds = tmp_path / "gallery", float(os.environ.get("GALLERY_SECONDS", "10"))
    Gallery.create(where, FINGERPRINT, 4, "rgb")
    queue, stop, barrier = SPAWN.Queue(), SPAWN.Event(), SPAWN.Barrier(7)
    writers = [SPAWN.Process(target=write_until, args=(where, number, stop, barrier, queue)) for number in range(4)]
    readers = [SPAWN.Process(target=read_until, args=(where, stop, barrier, queue)) for _ in range(2)]
    for process in (*writers, *readers):
        process.start()
    barrier.wait(300)
    time.sleep(seconds)
    stop.set()
    reports = [queue.get(timeout=120) for _ in range(6)]
    for process in (*writers, *readers):
        process.join(300)
        assert process.exitcode == 0
    acknowledged = {path for kind, paths in reports if kind == "written" for path in paths}
    stored = Gallery.open(where).rows().paths.tolist()
    num_reads = [count for kind, count in reports if kind == "read"]
    print(f"{len(acknowledged)} acknowledged images, {len(stored)} stored, reads {num_reads}, {seconds:g} s")
    assert len(stored) == len(set(stored))
    assert set(stored) == acknowledged
    assert min(num_reads) > 0


def write_until(where, number, stop, barrier, queue):
    """Adds images of its own and images that all writers add; the first writer also compacts."""
    barrier.wait(300)
    gallery, written, commit = Gallery.open(where), [], 0
    rng = np.random.default_rng(number)
    while not stop.is_set():
        names = [f"writer{number}/{commit}_{i}.jpg" for i in range(5)] + [f"shared/{commit}_{i}.jpg" for i in range(5)]
        gallery.add(rng.standard_normal((10, 4)), ReferenceTable.of(names, ["x"] * 10))
        written += names
        commit += 1
        if number == 0 and commit % 20 == 0:
            gallery.compact(erase=commit % 40 == 0)
    queue.put(("written", written))


def read_until(where, stop, barrier, queue):
    barrier.wait(300)
    gallery, count = Gallery.open(where), 0
    while not stop.is_set():
        if count % 3 == 0:
            gallery.refresh()
        paths = gallery.rows().paths.tolist()
        assert len(paths) == len(set(paths)) and len(paths) % 5 == 0
        gallery.search(np.ones((1, 4)), 3)
        count += 1
    queue.put(("read", count))
