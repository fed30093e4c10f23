"""HITSZ-VCM: the three layouts, tracks, and lists that cannot be."""

import pytest

from tests.data_layouts import Fails, write_image
from torchreid_rgbir.data.hitsz_vcm import HITSZVCM, MIN_FRAMES
from torchreid_rgbir.modality import IR, RGB

# modality code, identity, camera and number of frames of each track
TRAIN = [(1, 1, 1, 12), (2, 1, 2, 13), (1, 2, 3, 12), (2, 2, 2, 12), (2, 2, 4, 11)]
TEST = [(1, 5, 1, 12), (2, 5, 2, 14), (2, 6, 2, 12), (1, 6, 3, 12)]


def write(root, lists, train="", test="", queries="1\n4\n"):
    """The lists in folder `lists`, and the frames of training and test in their folders."""
    (root / lists).mkdir(parents=True, exist_ok=True)
    for subset, tracks, folder in (("train", TRAIN, train), ("test", TEST, test)):
        names, table = [], []
        for code, pid, camid, count in tracks:
            table.append(f"{code} {len(names) + 1} {len(names) + count} {pid} {camid}")
            for number in range(1, count + 1):
                names.append(f"{pid:04d}M{code}D{camid}T2F{number}.jpg")
                write_image(
                    root / folder / f"{pid:04d}" / ("ir" if code == 1 else "rgb") / f"D{camid}" / f"{number}.jpg"
                )
        (root / lists / f"{subset}_name.txt").write_text("\n".join(names) + "\n")
        (root / lists / f"track_{subset}_info.txt").write_text("\n".join(table) + "\n")
    (root / lists / "query_IDX.txt").write_text(queries)
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "HITSZ-VCM", "info")


@pytest.mark.parametrize(
    ("lists", "train", "test"), [("info", "", ""), ("data", "data", "data"), ("info", "Train", "Test")]
)
def test_every_form_of_the_layout(tmp_path, lists, train, test):
    dataset = HITSZVCM(str(write(tmp_path / "HITSZ-VCM", lists, train, test).parent), verbose=False)
    assert {(item.pid, item.camid, item.modality, item.track) for item in dataset.train} == {
        *((0, 1, IR, 1), (0, 2, RGB, 2), (1, 3, IR, 3), (1, 2, RGB, 4)),
    }
    assert len(dataset.train) == 49 and len(dataset.query) == 24 and len(dataset.gallery) == 26
    assert {(item.pid, item.track) for item in dataset.query} == {(5, 1), (6, 4)}
    assert dataset.test_labels().tracks is not None and dataset.test_labels().roles is None
    assert dataset.skipped == [f"track_train_info.txt, line 5: 11 frames, fewer than {MIN_FRAMES}"]


def test_queries_on_several_lines_and_ir_tracks_that_are_no_query(tmp_path):
    dataset = HITSZVCM(str(write(tmp_path / "x", "info", queries="1")), verbose=False)
    assert {item.pid for item in dataset.query} == {5}
    assert dataset.skipped[-1] == "track_test_info.txt, line 4: IR, but not in query_IDX.txt"


def test_scores_count_tracks(root):
    dataset = HITSZVCM(str(root), verbose=False)
    settings = dataset.protocol.settings(dataset.test_labels(), "ir", "")
    assert [setting.name["direction"] for setting in settings] == ["ir->rgb", "rgb->ir"]
    dataset.protocol.check(dataset.test_labels())


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        (
            "track_test_info.txt",
            "1 1 12 5 1\n2 13 51 5 2\n",
            ("line 2: frames 13 to 51", "test_name.txt lists 50 names"),
        ),
        ("track_train_info.txt", "1 0 12 1 1\n", ("line 1: frames 0 to 12",)),
        ("track_train_info.txt", "1 1 12 1\n", ("line 1: expected modality",)),
        ("track_train_info.txt", "3 1 12 1 1\n", ("line 1: expected modality",)),
        ("query_IDX.txt", "1 4 2", ("lists track 2, which is RGB",)),
        ("query_IDX.txt", "one", ("contains 'one'",)),
        ("train_name.txt", "\n".join(["1.jpg"] * 60), ("train_name.txt lists 1.jpg", "0001M2D3T1F1.jpg")),
    ],
)
def test_lists_that_cannot_be(root, file, text, parts):
    (root / "info" / file).write_text(text)
    with Fails(ValueError, *parts):
        HITSZVCM(str(root))


def test_missing_files(root):
    (root / "0005" / "ir" / "D1" / "1.jpg").unlink()
    with Fails(FileNotFoundError, "0005/ir/D1/1.jpg is missing", "track_test_info.txt, line 1"):
        HITSZVCM(str(root))
    (root / "info" / "query_IDX.txt").unlink()
    with Fails(FileNotFoundError, "query_IDX.txt is missing"):
        HITSZVCM(str(root))
