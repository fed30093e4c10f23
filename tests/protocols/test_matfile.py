import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from torchreid_rgbir.protocols.matfile import read_variable

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "sysu_mm01_protocol" / "rand_perm_cam.mat"


def cells() -> np.ndarray:
    """An array of arrays of numbers of many types and shapes, some empty."""
    rng = np.random.default_rng(0)
    outer = np.empty((2, 2), object)
    for i, dtype in enumerate(("u1", "i2", "f4", "f8")):
        inner = np.empty((3, 1), object)
        for j, shape in enumerate([(2, 3), (1, 1), (4, 0)]):
            inner[j, 0] = rng.integers(0, 100, shape).astype(dtype)
        outer.flat[i] = inner
    return outer


def assert_same(ours, theirs):
    assert ours.shape == theirs.shape
    if theirs.dtype == object:
        for a, b in zip(ours.flat, theirs.flat, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_scipy_writes(tmp_path, compressed):
    variables = {"first": np.arange(6.0).reshape(2, 3), "cells": cells(), "last": np.array([[7]], np.uint16)}
    savemat(tmp_path / "f.mat", variables, do_compression=compressed)
    for name, value in variables.items():
        assert_same(read_variable(tmp_path / "f.mat", name), value)
    assert read_variable(tmp_path / "f.mat", "other") is None


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official protocol files are not here")
def test_reads_the_official_file_as_scipy_does():
    assert_same(read_variable(OFFICIAL, "rand_perm_cam"), loadmat(OFFICIAL)["rand_perm_cam"])


def test_big_endian(tmp_path):
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    matrix = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2)) + element(1, b"x")
    matrix += element(9, struct.pack(">dd", 1.5, -2.0))
    (tmp_path / "f.mat").write_bytes(bytes(124) + b"\x01\x00MI" + element(14, matrix))
    assert read_variable(tmp_path / "f.mat", "x").tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"\x00\x02IM", "a different version, perhaps 7.3"), (b"\x00\x01XX", "no header"), (b"", "no header")],
)
def test_other_formats(tmp_path, header, message):
    (tmp_path / "f.mat").write_bytes(bytes(124) + header + bytes(100 if header else 0))
    with pytest.raises(ValueError, match=message):
        read_variable(tmp_path / "f.mat", "x")


def test_other_kinds_of_variables_are_refused(tmp_path):
    savemat(tmp_path / "f.mat", {"text": "hello", "struct": {"a": 1}})
    for name in ("text", "struct"):
        with pytest.raises(ValueError, match="expected cells and plain numbers"):
            read_variable(tmp_path / "f.mat", name)


def test_cells_nested_too_deep(tmp_path):
    value = np.array([[1.0]])
    for _ in range(10):
        outer = np.empty((1, 1), object)
        outer[0, 0] = value
        value = outer
    savemat(tmp_path / "f.mat", {"deep": value})
    with pytest.raises(ValueError, match="expected cells and plain numbers"):
        read_variable(tmp_path / "f.mat", "deep")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_an_error_or_another_value(tmp_path, compressed):
    whole = io.BytesIO()
    savemat(whole, {"cells": cells()}, do_compression=compressed)
    whole = whole.getvalue()
    rng = np.random.default_rng(0)
    num_errors = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(len(damaged), size=3):
            damaged[place] = rng.integers(256)
        (tmp_path / "f.mat").write_bytes(damaged[: rng.integers(len(damaged) // 2, 2 * len(damaged))])
        try:
            read_variable(tmp_path / "f.mat", "cells")
        except ValueError as error:
            num_errors += 1
            assert "\n" not in str(error)
    assert num_errors > 100


def test_a_damaged_byte_that_crashes_scipy_is_an_error(tmp_path):
    """Shows why this reader exists. If scipy refuses the file one day, `loadmat` can replace the reader."""
    outer, inner = np.empty((1, 1), object), np.empty((2, 1), object)
    inner[:, 0] = [np.arange(1, 4, dtype=np.uint8)[None]] * 2
    outer[0, 0] = inner
    savemat(tmp_path / "f.mat", {"cells": outer})
    damaged = bytearray((tmp_path / "f.mat").read_bytes())
    assert damaged[144] == 1  # the class of the outer matrix: cells
    damaged[144] = 6  # numbers
    (tmp_path / "f.mat").write_bytes(damaged)
    with pytest.raises(ValueError, match="expected cells and plain numbers"):
        read_variable(tmp_path / "f.mat", "cells")
    code = f"from scipy.io import loadmat; loadmat({str(tmp_path / 'f.mat')!r})"
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    if "Error" in ended.stderr:
        pytest.skip("this version of scipy refuses the file")
    assert ended.returncode < 0  # killed by a signal


def test_bytes_left_over_are_damage(tmp_path):
    savemat(tmp_path / "f.mat", {"a": np.ones((1, 1))})
    with open(tmp_path / "f.mat", "ab") as file:
        file.write(b"\0\0\0")
    with pytest.raises(ValueError, match="it is damaged: an element has only 3 bytes"):
        read_variable(tmp_path / "f.mat", "b")


def test_a_cell_may_be_stored_as_nothing(tmp_path):
    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    parts = (6, struct.pack("<II", 1, 0)), (5, struct.pack("<ii", 1, 1)), (1, b"c"), (14, b"")
    variable = element(14, b"".join(element(*part) for part in parts))
    (tmp_path / "f.mat").write_bytes(bytes(124) + b"\x00\x01IM" + variable)
    found = read_variable(tmp_path / "f.mat", "c")
    assert found.shape == (1, 1) and found[0, 0].shape == (0, 0)
