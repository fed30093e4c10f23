"""A data set in an archive."""

import io
import shutil
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchreid_rgbir import config
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
