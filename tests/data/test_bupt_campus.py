"""BUPTCampus: tracks of both modalities, queries and gallery tracks apart."""

import json

import pytest

from tests.data_layouts import Fails, write_image
from torchreid_rgbir.data.bupt_campus import BUPTCampus
from torchreid_rgbir.metrics.tracks import mean_of_tracks
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import BothDirectionsProtocol

TRACKS = [("1", "CQ1", "1", 3), ("1", "LS3", "7", 2), ("2", "W4", "1", 2), ("8", "LS3", "1", 3), ("8", "TSG2", "2", 2)]
LISTS = {
    "train.txt": "1 RGB/IR CQ1 1\n1 RGB/IR LS3 7\n2 RGB/IR W4 1\n",
    "query.txt": "8 IR LS3 1\n8 RGB LS3 1\n",
    "gallery.txt": "8 IR LS3 1\n8 RGB LS3 1\n8 IR TSG2 2\n8 RGB TSG2 2\n",
}


@pytest.fixture
def root(tmp_path):
    folder, paths = tmp_path / "BUPTCampus", {}
    for pid, camera, track, count in TRACKS:
        for word in ("RGB", "IR"):
            files = [f"{pid}/{word}/{camera}/{pid}_{word}_{camera}_{track}_{n}.jpg" for n in range(count)]
            paths.setdefault(pid, {}).setdefault(word, {}).setdefault(camera, {})[track] = files
            for file in files:
                write_image(folder / "DATA" / file)
    (folder / "data_paths.json").write_text(json.dumps(paths))
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("place", ["BUPTCampus", ".", "BUPTCampus/DATA"])
def test_items(root, place):
    dataset = BUPTCampus(str(root.parent / place), verbose=False)
    assert {(item.pid, item.camid, item.modality, item.track) for item in dataset.train} == {
        (pid, camid, modality, track)
        for pid, camid, track in ((0, 3, 1), (0, 1, 2), (1, 4, 3))
        for modality in (RGB, IR)
    }
    tracks = mean_of_tracks(dataset.test_labels())
    for modality in (RGB, IR):
        assert tracks.queries(modality).camids.tolist() == [1]
        assert tracks.gallery(modality).camids.tolist() == [1, 6]


def test_nothing_is_ignored_by_the_authors_rule(root):
    dataset = BUPTCampus(str(root), verbose=False)
    labels = mean_of_tracks(dataset.test_labels()).gallery(RGB)
    assert not dataset.protocol.ignored(8, 1, labels).any()
    assert BothDirectionsProtocol.ignored(8, 1, labels).tolist() == [True, False]


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        ("query.txt", "8 IR LS3\n", ("query.txt, line 1: expected identity",)),
        ("query.txt", "8 NIR LS3 1\n", ("line 1: expected identity", "'8 NIR LS3 1'")),
        ("train.txt", "1 RGB/IR CQ1 1\n1 RGB/IR X9 1\n", ("line 2: expected identity", "LS3, G25, CQ1")),
        ("gallery.txt", "8 IR LS3 5\n", ("line 1: data_paths.json has no frames of 8, IR, LS3, 5",)),
        ("data_paths.json", "{", ("data_paths.json is not JSON",)),
        ("data_paths.json", "[]", ("data_paths.json has no frames of 1, RGB, CQ1, 1",)),
    ],
)
def test_files_that_cannot_be(root, file, text, parts):
    (root / file).write_text(text)
    with Fails(ValueError, *parts):
        BUPTCampus(str(root))


def test_missing_files(root):
    (root / "DATA" / "8" / "IR" / "LS3" / "8_IR_LS3_1_0.jpg").unlink()
    with Fails(FileNotFoundError, "8_IR_LS3_1_0.jpg is missing", "query.txt, line 1"):
        BUPTCampus(str(root))
    (root / "train.txt").unlink()
    with Fails(FileNotFoundError, "train.txt is missing"):
        BUPTCampus(str(root))
