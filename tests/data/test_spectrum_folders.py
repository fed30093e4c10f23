"""MSVR310 and RGBNT201: triples of files with equal names."""

import pytest

from tests.data_layouts import Fails, write_triples
from torchreid_rgbir.data.manager import CrossModalDataManager
from torchreid_rgbir.data.spectra import check
from torchreid_rgbir.data.spectrum_folders import MSVR310, RGBNT201
from torchreid_rgbir.doctor import diagnose
from torchreid_rgbir.modality import IR, RGB

VEHICLES = {
    "bounding_box_train/0001": ["0001_s000_v0_000.jpg", "0001_s003_v7_001.jpg"],
    "bounding_box_train/0015": ["0015_s017_v5_008.jpg"],
    "query3/0002": ["0002_s002_v0_000.jpg"],
    "bounding_box_test/0002": ["0002_s002_v0_000.jpg", "0002_s004_v1_000.jpg"],
    "bounding_box_test/0004": ["0004_s000_v0_000.jpg"],
}
PEOPLE = {
    "train_171": ["000028_cam1_0_02.jpg", "000028_cam2_1_00.jpg", "000030_cam4_0_00.jpg"],
    "test": ["000258_cam1_0_00.jpg", "000258_cam2_0_01.jpg", "000260_cam1_0_00.jpg"],
}


@pytest.fixture
def msvr310(tmp_path):
    return write_triples(tmp_path / "MSVR310", VEHICLES, ("vis", "ni", "th"))


@pytest.fixture
def rgbnt201(tmp_path):
    return write_triples(tmp_path / "RGBNT201", PEOPLE, ("RGB", "NI", "TI"))


@pytest.mark.parametrize(("ir", "folder"), [("nir", "/ni/"), ("tir", "/th/")])
def test_msvr310_has_scenes_as_cameras(msvr310, ir, folder):
    dataset = MSVR310(str(msvr310.parent), ir=ir, verbose=False)
    assert {(item.pid, item.camid) for item in dataset.train} == {(0, 0), (0, 3), (1, 17)}
    labels = dataset.test_labels()
    for modality, part in ((RGB, "/vis/"), (IR, folder)):
        query, gallery = labels.queries(modality), labels.gallery(modality)
        assert (query.pids.tolist(), query.camids.tolist()) == ([2], [2])
        assert (gallery.pids.tolist(), gallery.camids.tolist()) == ([2, 2, 4], [2, 4, 0])
        assert all(part in path for path in (*query.paths, *gallery.paths))


def test_rgbnt201_asks_with_every_test_image(rgbnt201):
    dataset = RGBNT201(str(rgbnt201), verbose=False)
    labels = dataset.test_labels()
    assert labels.roles is None
    assert labels.queries(IR).camids.tolist() == labels.gallery(RGB).camids.tolist() == [1, 2, 1]
    assert {(item.pid, item.camid) for item in dataset.train} == {(0, 1), (0, 2), (1, 4)}


@pytest.mark.parametrize("ir", ["nir", "tir"])
def test_a_triple_that_lacks_a_spectrum_is_skipped_and_counted(msvr310, ir, capsys):
    (msvr310 / "bounding_box_train/0001/th/0001_s003_v7_001.jpg").unlink()
    (msvr310 / "bounding_box_test/0004/vis/0004_s000_v0_000.jpg").unlink()
    dataset = MSVR310(str(msvr310), ir=ir)
    assert len(dataset.train) == 4 and len(dataset.gallery) == 3
    assert dataset.skipped == [
        "bounding_box_train/0001/*/0001_s003_v7_001.jpg: th missing",
        "bounding_box_test/0004/*/0004_s000_v0_000.jpg: vis missing",
    ]
    assert "2 skipped, such as bounding_box_train/0001/*/0001_s003_v7_001.jpg: th missing" in capsys.readouterr().out
    (note,) = [
        finding
        for finding in diagnose("msvr310", msvr310).findings
        if "that training and test skip" in finding.text and "nir" in finding.text
    ]
    assert not note.problem and len(note.details) == 2


def test_a_file_of_another_name(rgbnt201):
    for spectrum in ("RGB", "NI", "TI"):
        folder = rgbnt201 / "test" / spectrum
        (folder / "000258_cam1_0_00.jpg").rename(folder / "258.jpg")
    with Fails(ValueError, "258.jpg", "000028_cam1_0_02.jpg"):
        RGBNT201(str(rgbnt201))


def test_a_missing_folder(rgbnt201):
    with Fails(FileNotFoundError, "bounding_box_train is missing", "MSVR310"):
        MSVR310(str(rgbnt201))


def manager(root, sources, **options):
    return CrossModalDataManager(
        str(root), sources, height=8, width=4, batch_size_train=8, num_instances=2, workers=0, use_gpu=False, **options
    )


def test_data_ir_reaches_the_data_set(rgbnt201):
    for ir, folder in (("nir", "/NI/"), ("tir", "/TI/")):
        data = manager(rgbnt201, "rgbnt201", ir=ir)
        assert all(folder in item.impath for item in data.test_loader["rgbnt201"]["query"].dataset.query)
    assert "/NI/" in RGBNT201(str(rgbnt201), verbose=False).query[0].impath


@pytest.mark.parametrize("name", ["sysu_mm01", "llcm", "rgbn300"])
def test_thermal_of_a_set_that_has_none(tmp_path, name):
    with Fails(ValueError, f"data.ir is tir, but {name} has no TIR images: set data.ir nir"):
        manager(tmp_path, [name], ir="tir")


def test_thermal_where_there_is_no_choice(tmp_path):
    for name in ("regdb", "rgbir_folder"):
        with Fails(ValueError, f"data.ir is tir, but {name} has one kind of infrared images: remove data.ir"):
            manager(tmp_path, [name], ir="tir")
    check("tir", {"rgbnt201": RGBNT201.infrared, "regdb": ("tir",), "own": ()})
