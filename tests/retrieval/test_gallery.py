"""Both stores behind one interface, against brute force; the second is milvus-lite, which serves Milvus's API."""

import json
import multiprocessing
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from torchreid_rgbir.retrieval import Filter, Gallery, ReferenceTable

START = datetime(2026, 5, 1, tzinfo=timezone.utc)
FINGERPRINT = "0123456789abcdef" * 2
EVERY_STORE = pytest.mark.parametrize("store", ["lance", "milvus"])


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus")
    program = Path(sys.executable).with_name("milvus-lite")
    words = [program, "server", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port)]
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            for _ in range(100):
                if "listening" in (folder / "log").read_text():
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def where(request, store, tmp_path):
    if store == "lance":
        pytest.importorskip("lancedb")
        return str(tmp_path / "gallery")
    return f"{request.getfixturevalue('server')}/gallery_{uuid.uuid4().hex}"


@pytest.fixture
def gallery(where, clustered):
    features, rows = clustered
    made = Gallery.create(where, FINGERPRINT, features.shape[1], "rgb")
    made.add(features[:120], rows.take(slice(0, 120)))
    made.add(features[120:], rows.take(slice(120, None)))
    return made


def brute_force(features, rows, queries, k, keep=lambda row: True):
    """Paths and cosines by a plain loop in float64."""
    answers = []
    for query in queries.astype(np.float64):
        scored = []
        for i, feature in enumerate(features.astype(np.float64)):
            if keep(i):
                cosine = feature @ query / np.sqrt((feature @ feature) * (query @ query))
                scored.append((-cosine, i))
        answers.append([(rows.paths[i], -minus) for minus, i in sorted(scored)[:k]])
    return answers


def agree(found, expected):
    assert [[match.path for match in matches] for matches in found] == [[path for path, _ in row] for row in expected]
    for matches, row in zip(found, expected, strict=True):
        assert [match.score for match in matches] == pytest.approx([score for _, score in row], abs=1e-6)


@EVERY_STORE
def test_what_goes_in_comes_out(gallery, where, clustered):
    _, rows = clustered
    opened = Gallery.open(where)
    assert len(opened) == 200
    assert opened.about == gallery.about
    found = opened.rows()
    order = np.argsort([json.loads(extra)["number"] for extra in found.extras])
    for name in ("paths", "categories", "cameras"):
        assert getattr(found, name)[order].tolist() == getattr(rows, name).tolist()
    np.testing.assert_array_equal(found.times[order], rows.times)
    assert [json.loads(extra) for extra in found.extras[order]] == [json.loads(extra) for extra in rows.extras]


@EVERY_STORE
@pytest.mark.parametrize(
    ("filtered", "keep"),
    [
        (Filter(), lambda i: True),
        (Filter(cameras=[2]), lambda i: i % 3 == 1),
        (Filter(categories=['category "3"', 'category "17"', "nobody's"]), lambda i: i // 5 in (3, 17)),
        (
            Filter(cameras=[1, 3], since=START + timedelta(hours=20), until=START + timedelta(hours=101)),
            lambda i: i % 3 != 1 and i % 2 and 20 <= i <= 101,
        ),
        (
            Filter(paths=["images/it's 4.jpg", "images/it's 5.jpg", "images/it's 77.jpg"], cameras=[3]),
            lambda i: i in (5, 77),
        ),
    ],
)
def test_search_is_brute_force(gallery, clustered, filtered, keep):
    features, rows = clustered
    queries = np.random.default_rng(1).standard_normal((7, 32)).astype(np.float32)
    agree(gallery.search(queries, 8, filtered), brute_force(features, rows, queries, 8, keep))


@EVERY_STORE
def test_a_match_tells_all_of_its_image(gallery, clustered):
    features, _ = clustered
    [[match]] = gallery.search(3 * features[101:102], 1)
    assert match.path == "images/it's 101.jpg"
    assert match.category == 'category "20"'
    assert match.score == pytest.approx(1, abs=1e-6)
    assert match.camera == 3
    assert match.time == START + timedelta(hours=101)
    assert match.extra == {"number": 101, "ü": [None, 1.5]}
    assert gallery.search(features[100:101], 1)[0][0].time is None


@EVERY_STORE
def test_removed_images_are_gone(gallery, where, clustered):
    features, rows = clustered
    assert gallery.remove(Filter(paths=["images/it's 7.jpg", "nowhere.jpg"])) == 1
    assert gallery.remove(Filter(cameras=[2], until=START + timedelta(hours=50))) == 9 - 1  # 1, 7, 13, ... 49 without 7
    gone = {7, *range(1, 50, 6)}
    for seen in (gallery, Gallery.open(where)):
        assert len(seen) == 200 - len(gone)
        agree(seen.search(features[:9], 5), brute_force(features, rows, features[:9], 5, lambda i: i not in gone))
    with pytest.raises(ValueError, match="nothing says which images to remove"):
        gallery.remove(Filter())


@EVERY_STORE
def test_a_path_names_one_image(gallery, where, clustered):
    features, rows = clustered
    gallery.add(-features[:3], rows.take(slice(0, 3)))
    assert len(gallery) == len(Gallery.open(where)) == 200
    assert gallery.search(-features[:1], 1)[0][0].path == rows.paths[0]


@EVERY_STORE
def test_more_than_there_are(gallery, clustered):
    features, _ = clustered
    [found] = gallery.search(features[:1], 1000)
    assert len(found) == len({match.path for match in found}) == 200
    assert gallery.search(features[:2], 5, Filter(cameras=[9])) == [[], []]


@EVERY_STORE
def test_the_threshold_stays(gallery, where):
    assert gallery.about.threshold is None
    gallery.set_threshold(0.1 + 0.2)
    assert gallery.about.threshold == Gallery.open(where).about.threshold == 0.1 + 0.2
    assert gallery.about.false_match_rate is None
    gallery.set_threshold(0.5, 0.01)
    assert gallery.about == Gallery.open(where).about
    assert (gallery.about.threshold, gallery.about.false_match_rate) == (0.5, 0.01)
    gallery.set_threshold(0.6)  # the rate belonged to the earlier threshold
    assert (Gallery.open(where).about.threshold, Gallery.open(where).about.false_match_rate) == (0.6, None)
    gallery.compact()
    assert len(gallery) == 200


@EVERY_STORE
def test_mistakes(gallery, where, clustered):
    features, rows = clustered
    with pytest.raises(FileExistsError, match="already"):
        Gallery.create(where, FINGERPRINT, 32, "rgb")
    with pytest.raises(FileNotFoundError, match="gallery add"):
        Gallery.open(where + "2")
    gallery.check(FINGERPRINT, "rgb")
    with pytest.raises(ValueError, match="a different model"):
        gallery.check("f" * 32)
    with pytest.raises(ValueError, match="gallery of rgb images, not ir"):
        gallery.check(FINGERPRINT, "ir")
    with pytest.raises(ValueError, match="32 numbers each"):
        gallery.add(features[:, :31], rows)
    with pytest.raises(ValueError, match="32 numbers each"):
        gallery.search(features[:, :31])
    with pytest.raises(ValueError, match="row 2 is not finite"):
        gallery.search(np.where(np.arange(200)[:, None] == 2, np.nan, features))
    with pytest.raises(ValueError, match="1 features for 200 rows"):
        gallery.add(features[:1], rows)
    with pytest.raises(ValueError, match="k is 0"):
        gallery.search(features, 0)
    with pytest.raises(ValueError, match="modality 'thermal' is unknown"):
        Gallery.create(where + "3", FINGERPRINT, 32, "thermal")
    assert len(gallery) == 200


@EVERY_STORE
def test_the_state_of_a_file_is_kept(gallery, where):
    gallery.add(np.ones((1, 32)), ReferenceTable.of(["new"], ["new"], states=["12 34 ab"]))
    states = dict(zip(*((rows := Gallery.open(where).rows()).paths, rows.states), strict=True))
    assert states.pop("new") == "12 34 ab"
    assert set(states.values()) == {""}


@EVERY_STORE
def test_names_that_a_store_cannot_hold(gallery, store):
    """Milvus counts bytes: 2,000 letters of three bytes are too many."""
    with pytest.raises(ValueError, match=r"a.udce9' has a path that is not UTF-8: rename the file"):
        gallery.add(np.ones((1, 32)), ReferenceTable.of(["a\udce9"], ["x"]))
    long = ReferenceTable.of(["a.jpg"], ["\u5f20" * 2000])
    if store == "milvus":
        with pytest.raises(ValueError, match="a.jpg has a category of 6000 bytes, but .* at most 4096: shorten it"):
            gallery.add(np.ones((1, 32)), long)
        assert len(gallery) == 200
    else:
        gallery.add(np.ones((1, 32)), long)
        assert len(gallery) == 201


@pytest.mark.parametrize("store", ["lance"])
@pytest.mark.parametrize("rows_of_a_graph", [1000, 60])
def test_the_index_finds_what_exact_search_finds(gallery, where, clustered, rows_of_a_graph, monkeypatch):
    monkeypatch.setattr("torchreid_rgbir.retrieval.lance_index.PARTITION_ROWS", rows_of_a_graph)
    features, rows = clustered
    with pytest.raises(ValueError, match="gallery compact --index"):
        gallery.search(features[:1], exact=False)
    gallery.compact(index=True)
    opened, before = Gallery.open(where), Gallery.open(where)
    opened.add(features[:2] + 0.01, ReferenceTable.of(["late 0", "late 1"], ["late", "late"]))
    (seen,), (unseen,) = (gallery.search(features[:1], 2, exact=False) for gallery in (opened, before))
    assert "late 0" in {match.path for match in seen} and "late 0" not in {match.path for match in unseen}
    for filtered in (Filter(), Filter(cameras=[2]), Filter(since=START + timedelta(hours=150))):
        exact, asked = (opened.search(features[:50], 4, filtered, exact=exact) for exact in (True, False))
        same = [len({m.path for m in a} & {m.path for m in b}) for a, b in zip(exact, asked, strict=True)]
        assert np.mean(same) > 3.8
        assert asked[20][0].score == pytest.approx(exact[20][0].score, abs=1e-5)


@pytest.mark.parametrize("store", ["lance"])
@pytest.mark.parametrize("index", [False, True])
def test_erased_features_are_off_the_disk(gallery, where, clustered, index):
    features, rows = clustered
    kept = gallery.store.references().features[3].tobytes()
    gallery.set_threshold(0.5)
    if index:
        gallery.compact(index=True)
    assert files_with(where, kept)
    gallery.remove(Filter(paths=[rows.paths[3]]))  # one of 120 in its file, which the library's own compaction leaves
    gallery.compact(erase=True)
    assert not files_with(where, kept)
    opened = Gallery.open(where)
    assert (len(opened), opened.about.threshold) == (199, 0.5)
    assert len(opened.search(features[:1], 3, exact=not index)[0]) == 3


def files_with(folder, content):
    return [path for path in Path(folder).rglob("*") if path.is_file() and content in path.read_bytes()]


@pytest.mark.parametrize("store", ["lance"])
def test_a_reader_sees_a_whole_gallery_old_or_new(where, clustered):
    """While one process adds categories of five images, each open gallery holds whole categories only."""
    features, rows = clustered
    Gallery.create(where, FINGERPRINT, 32, "rgb")
    reader = Gallery.open(where)
    process = multiprocessing.get_context("spawn").Process(target=add_by_fives, args=(where, features, rows))
    process.start()
    try:
        sizes = []
        deadline = time.time() + 300  # a process imports for a minute on a busy machine
        while process.is_alive() and time.time() < deadline:
            reader.refresh()
            found = reader.rows()
            assert len(found) == len(reader) and len(found) % 5 == 0
            assert len(reader.search(features[:1], 300)[0]) == len(found)
            sizes.append(len(found))
    finally:
        process.join(300)
    assert process.exitcode == 0
    assert sizes == sorted(sizes) and len(set(sizes)) > 2
    before = len(reader)
    Gallery.open(where).remove(Filter(cameras=[1]))
    assert len(reader) == len(reader.search(features[:1], 300)[0]) == before  # until it refreshes


def add_by_fives(where, features, rows):
    gallery = Gallery.open(where)
    for start in range(0, len(features), 5):
        gallery.add(features[start : start + 5], rows.take(slice(start, start + 5)))


ADDS_UNTIL_KILLED = """
import itertools, sys
import numpy as np
from torchreid_rgbir.retrieval import Gallery, ReferenceTable
gallery, life = Gallery.open(sys.argv[1]), int(sys.argv[2])
for commit in itertools.count():
    numbers = [1e6 * life + 10 * commit + i for i in range(10)]
    gallery.add(np.array(numbers)[:, None] ** [[0, 1]], ReferenceTable.of([f"{number:.0f}" for number in numbers], [str(commit)] * 10))
    print(*(f"{number:.0f}" for number in numbers), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("store", ["lance"])
def test_killed_while_adding(where):
    """SIGKILL at ten random moments: each acknowledged image is there, none twice, each commit whole or absent."""
    Gallery.create(where, FINGERPRINT, 2, "rgb")
    rng = np.random.default_rng()
    acknowledged: list[str] = []
    for life in range(1, 11):
        words = [sys.executable, "-c", ADDS_UNTIL_KILLED, where, str(life)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            acknowledged += process.stdout.readline().split()  # it is adding from now on
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            acknowledged += [path for line in process.stdout if line.endswith("\n") for path in line.split()]
        gallery = Gallery.open(where)
        there = gallery.rows().paths.tolist()
        assert len(there) == len(set(there)) == len(gallery)
        assert set(acknowledged) <= set(there)
        assert len(there) % 10 == 0
        references = gallery.store.references()
        np.testing.assert_allclose(
            references.features[:, 1] / references.features[:, 0], [float(path) for path in there]
        )
    assert len(acknowledged) >= 100


@pytest.mark.parametrize("store", ["lance"])
def test_a_damaged_gallery_is_one_line(gallery, where, clustered):
    features, _ = clustered
    for part in ("data", "_versions"):
        for path in (Path(where) / "references.lance" / part).iterdir():
            path.write_bytes(path.read_bytes()[:40])
        with pytest.raises(ValueError, match="cannot be read .*if the gallery is damaged, restore a copy") as caught:
            Gallery.open(where).search(features[:1])
        assert "\n" not in str(caught.value)


def test_a_creation_that_was_cut_short_can_be_repeated(tmp_path):
    pytest.importorskip("lancedb")
    where = tmp_path / "gallery"
    Gallery.create(where, FINGERPRINT, 4, "ir")
    shutil.rmtree(where / "references.lance" / "_versions")
    assert len(Gallery.create(where, FINGERPRINT, 4, "ir")) == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(FileExistsError, match="choose a different location"):
        Gallery.create(tmp_path / "photos", FINGERPRINT, 4, "ir")
    with pytest.raises(FileNotFoundError, match="is not a gallery"):
        Gallery.open(tmp_path / "photos")


def test_an_address_of_object_storage(tmp_path, clustered):
    """file:// goes the way that s3:// goes."""
    pytest.importorskip("lancedb")
    features, rows = clustered
    where = f"file://{tmp_path}/gallery"
    with pytest.raises(FileNotFoundError, match="is not a gallery"):
        Gallery.open(where)
    Gallery.create(where, FINGERPRINT, 32, "ir").add(features, rows)
    assert len(Gallery.open(where)) == 200
    with pytest.raises(FileExistsError, match="already"):
        Gallery.create(where, FINGERPRINT, 32, "ir")


def test_an_empty_gallery(tmp_path):
    pytest.importorskip("lancedb")
    gallery = Gallery.create(tmp_path / "gallery", FINGERPRINT, 4, "ir")
    assert len(gallery) == len(gallery.rows()) == 0
    assert gallery.search(np.ones((2, 4)), 3) == [[], []]
    assert Gallery.open(tmp_path / "gallery").about.modality == "ir"


def test_a_server_that_does_not_answer():
    pytest.importorskip("pymilvus")
    with pytest.raises(ConnectionError, match="check that the server is running"):
        Gallery.open("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("where", "package", "extra"),
    [("gallery", "lancedb", "gallery"), ("http://127.0.0.1:19530", "pymilvus", "cluster")],
)
def test_a_missing_extra_names_its_command(monkeypatch, where, package, extra):
    for module in ("torchreid_rgbir.retrieval.lance", "torchreid_rgbir.retrieval.milvus"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"pip install 'torchreid-rgbir\[{extra}\]'"):
        Gallery.open(where)
