"""A data set in an archive."""

import io
import shutil
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchreid_rgbir import config
from torchreid_rgbir.files import archive
from torchreid_rgbir.files.archive import unpacked
from torchreid_rgbir.runs.build import build_engine

FILES = {"set/a.txt": b"a", "set/deep/b.txt": b"b" * 5000}


def write(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["data.zip", "data.tar", "data.tar.gz", "data.tgz"])
def test_it_is_unpacked_once_beside_itself(tmp_path, name):
    write(tmp_path / name, FILES)
    assert unpacked(str(tmp_path / name)) == str(tmp_path / "data")
    assert {file: (tmp_path / "data" / file).read_bytes() for file in FILES} == FILES
    (tmp_path / name).write_bytes(b"changed")
    assert unpacked(str(tmp_path / name)) == str(tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data", name])


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside-of-an-archive.txt", "set/../../outside.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_written_outside(tmp_path, name, kind):
    folder = tmp_path / "inner"
    folder.mkdir()
    write(folder / f"data.{kind}", FILES | {name: b"x"})
    try:
        unpacked(str(folder / f"data.{kind}"))
    except ValueError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
        assert [path.name for path in folder.iterdir()] == [f"data.{kind}"]
    outside = [path for path in tmp_path.rglob("*") if "outside" in path.name and folder / "data" not in path.parents]
    assert not outside


def test_a_zip_that_begins_with_its_own_folder(tmp_path):
    write(tmp_path / "data.zip", {"./": b"", **{f"./{name}": content for name, content in FILES.items()}})
    assert unpacked(str(tmp_path / "data.zip")) == str(tmp_path / "data")
    assert {file: (tmp_path / "data" / file).read_bytes() for file in FILES} == FILES


def test_a_zip_of_windows_with_backslashes_becomes_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in FILES.items():
            member = zipfile.ZipInfo("x")
            member.filename = name.replace("/", "\\")
            archive.writestr(member, content)
    unpacked(str(tmp_path / "data.zip"))
    assert {file: (tmp_path / "data" / file).read_bytes() for file in FILES} == FILES


@pytest.mark.parametrize("name", ["set\\..\\..\\outside.txt", "\\outside.txt", "C:\\outside.txt"])
def test_backslashes_do_not_lead_outside(tmp_path, name):
    write(tmp_path / "data.zip", FILES)
    with zipfile.ZipFile(tmp_path / "data.zip", "a") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, b"x")
    with pytest.raises(ValueError, match="outside of its folder"):
        unpacked(str(tmp_path / "data.zip"))
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


PHOTOS = {
    f"{subset}/{modality}/{pid}/a.jpg": b"a"
    for subset in ("train", "test")
    for modality in ("rgb", "ir")
    for pid in "ab"
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("top", ["", "photos/", "handed out/photos/"])
def test_a_data_set_below_one_folder_is_found_and_what_a_mac_adds_is_not_unpacked(tmp_path, kind, top):
    files = {f"{top}{name}": content for name, content in PHOTOS.items()}
    write(tmp_path / f"data.{kind}", files | {f"__MACOSX/{top}._a.jpg": b"x", f"{top}.DS_Store": b"x"})
    root = unpacked(str(tmp_path / f"data.{kind}"))
    assert root == str(tmp_path / "data" / top)
    assert all((tmp_path / "data" / name).is_file() for name in files) and not (tmp_path / "data" / "__MACOSX").exists()
    assert unpacked(str(tmp_path / f"data.{kind}")) == root


def test_two_data_sets_in_one_archive_are_refused_unless_their_names_decide(tmp_path):
    for first, second in (("day", "night"), ("SYSU-MM01", "RegDB")):
        folders = {f"{top}/{name}": content for top in (first, second) for name, content in PHOTOS.items()}
        write(tmp_path / f"{first}.zip", folders)
    with pytest.raises(ValueError, match=r"day.zip holds 2 data sets .day, night.*set data.root") as refused:
        unpacked(str(tmp_path / "day.zip"))
    assert "\n" not in str(refused.value)
    assert unpacked(str(tmp_path / "SYSU-MM01.zip")) == str(tmp_path / "SYSU-MM01")


def test_two_that_need_one_archive_unpack_it_once(tmp_path, monkeypatch):
    write(tmp_path / "data.zip", PHOTOS)
    unpack, calls = archive._unpack, []
    monkeypatch.setattr(archive, "_unpack", lambda *args: (calls.append(args), time.sleep(0.5), unpack(*args)))
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(unpacked, [str(tmp_path / "data.zip")] * 2)) == [str(tmp_path / "data")] * 2
    assert len(calls) == 1


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpacked(str(tmp_path / "data.tar"))


def test_too_little_room_is_found_first(tmp_path, monkeypatch):
    write(tmp_path / "data.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(ValueError, match="cannot be unpacked .it needs .* GB are free"):
        unpacked(str(tmp_path / "data.zip"))
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["zip", "tar", "tgz"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_archive_is_unpacked_or_refused_in_one_line(tmp_path, kind, cut, flips):
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    path = tmp_path / f"data.{kind}"
    write(path, FILES)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    path.write_bytes(data[: int(cut * len(data)) + 1])
    try:
        unpacked(str(path))
    except ValueError as error:
        assert "\n" not in str(error) and not (tmp_path / "data").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    path.unlink()


def test_anything_else_is_left_alone(tmp_path):
    for root in (str(tmp_path), "nowhere.zip", ""):
        assert unpacked(root) == root


def test_training_takes_an_archive_as_its_root(fast_cfg, sysu_root, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", sysu_root.parent)
    engine = build_engine(config.override(fast_cfg, ["data.root", archive]))
    assert engine.datamanager.num_train_pids == 16
