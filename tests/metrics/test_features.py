import io
import zipfile

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures, load_features, save_features
from torchreid_rgbir.modality import IR, RGB


def good() -> dict[str, np.ndarray]:
    return {
        "features": np.arange(12, dtype=np.float32).reshape(4, 3),
        "pids": np.array([5, 5, 6, 6]),
        "camids": np.array([1, 3, 2, 6]),
        "modalities": np.array([RGB, IR, RGB, IR]),
        "image_numbers": np.array([1, 1, 2, 1]),
    }


def write(path, **columns):
    np.savez(path, **columns)
    return path


def test_what_was_saved_is_loaded(tmp_path):
    data = TestFeatures(
        **good(), paths=np.array(["a", "b", "c", "é"]), tracks=np.arange(4), roles=np.array([0, 1, 2, 0])
    )
    save_features(tmp_path / "features.npz", data)
    loaded = load_features(str(tmp_path / "features.npz"))
    for name, column in vars(data).items():
        np.testing.assert_array_equal(getattr(loaded, name), column)
        assert getattr(loaded, name).dtype == column.dtype


def test_numbers_and_paths_are_optional(tmp_path):
    columns = good()
    del columns["image_numbers"]
    loaded = load_features(write(tmp_path / "f.npz", **columns, more=np.array([1])))
    assert loaded.image_numbers is None
    assert loaded.paths is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [("f2", np.float32), (">f4", np.float32), ("f4", np.float32), (">f8", np.float64), ("f8", np.float64)],
)
def test_float_types(tmp_path, given, kept):
    columns = good() | {"features": good()["features"].astype(given), "pids": good()["pids"].astype(">i2")}
    loaded = load_features(write(tmp_path / "f.npz", **columns))
    assert loaded.features.dtype == kept
    assert loaded.features.dtype.isnative
    assert loaded.features.tolist() == good()["features"].tolist()
    assert loaded.pids.dtype == np.int64


def with_value(value, row=2):
    features = good()["features"]
    features[row, 1] = value
    return features


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.ones(4, np.float32)}, r"features: shape \(4,\), expected \(N, D\)"),
        ({"features": np.ones((4, 3, 1), np.float32)}, r"features: shape \(4, 3, 1\)"),
        ({"features": np.ones((0, 3), np.float32)}, r"features: shape \(0, 3\)"),
        ({"features": np.ones((4, 0), np.float32)}, r"features: shape \(4, 0\)"),
        ({"features": np.ones((4, 3), np.int64)}, "features: dtype int64, expected float32 or float64"),
        ({"features": with_value(np.nan)}, "features: row 2 holds nan, expected finite"),
        ({"features": with_value(-np.inf, row=3)}, "features: row 3 holds -inf, expected finite"),
        ({"features": with_value(1e30, row=1)}, "features: row 1 holds 1e\\+30"),
        (
            {"features": good()["features"] * np.float32(1e-25)},
            "features: row 0 holds 2e-25, expected .* moderate size",
        ),
        (
            {"pids": np.array([1, 2, 2**63, 1], np.uint64)},
            r"pids: row 2 is 9223372036854775808, expected less than 2 \*\* 63",
        ),
        ({"pids": np.arange(3)}, r"pids: shape \(3,\), expected \(4,\)"),
        ({"camids": np.ones((4, 1), int)}, r"camids: shape \(4, 1\), expected \(4,\)"),
        ({"pids": np.ones(4)}, "pids: dtype float64, expected integers"),
        ({"camids": np.array(list("abcd"))}, "camids: dtype <U1, row 0 is 'a', expected integers"),
        ({"camids": np.array(["1", "2", "-3", "gate2"])}, "camids: dtype <U5, row 3 is 'gate2', expected integers"),
        ({"camids": np.array([b"1", b"2", b"3", b"4"])}, "camids: dtype .S1, expected integers"),
        ({"camids": np.array([1, 2, 2**63, 4], np.uint64)}, "camids: row 2 is 9223372036854775808"),
        ({"camids": np.array([1, -1, 1, 1])}, "camids: row 1 is -1"),
        ({"modalities": np.array([0, 1, 1, 2])}, r"modalities: row 3 is 2, expected 0 \(RGB\) or 1 \(IR\)"),
        ({"image_numbers": np.array([1, 2, 0, 1])}, "image_numbers: row 2 is 0, but images are numbered from 1"),
        ({"image_numbers": np.array([1])}, r"image_numbers: shape \(1,\), expected \(4,\)"),
        ({"paths": np.array(["a"])}, r"paths: shape \(1,\), expected \(4,\)"),
        ({"paths": np.arange(4)}, "paths: dtype int64, expected strings"),
        (
            {"pids": np.array([1, "a", None, 2], object)},
            r"pids cannot be read \(it contains pickled objects, perhaps numbers beyond 64 bits\)",
        ),
    ],
)
def test_bad_fields_are_named(tmp_path, change, message):
    path = write(tmp_path / "f.npz", **(good() | change))
    with pytest.raises(ValueError, match=message) as caught:
        load_features(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_largest_identities_and_the_smallest_features_that_can_be_scored(tmp_path):
    largest = np.array([2**63 - 1, 0, 1, 2], np.uint64)
    features = np.array([[1e-18, 0, 0], [0, 0, 0], [1, 1, 1], [1, 2, 3]], np.float32)
    loaded = load_features(write(tmp_path / "f.npz", **(good() | {"pids": largest, "features": features})))
    assert loaded.pids.tolist() == largest.tolist()
    assert loaded.features.tolist() == features.tolist()


@pytest.mark.parametrize("name", ["features", "pids", "camids", "modalities"])
def test_a_missing_field_is_named(tmp_path, name):
    columns = good()
    del columns[name]
    with pytest.raises(ValueError, match=f"field {name} is missing"):
        load_features(write(tmp_path / "f.npz", **columns))


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.npz is missing"):
        load_features(tmp_path / "no.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and nothing more", b"\x80\x04N."])
def test_not_an_archive(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"f\.npz: it is not an \.npz file"):
        load_features(tmp_path / "f.npz")


def test_a_single_array_is_no_archive(tmp_path):
    with (tmp_path / "f.npz").open("wb") as file:
        np.save(file, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"not an \.npz file"):
        load_features(tmp_path / "f.npz")


def test_a_damaged_file_is_an_error_of_one_line(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, **good())
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole.getvalue())
        for place in rng.integers(len(damaged), size=5):
            damaged[place] = rng.integers(256)
        (tmp_path / "f.npz").write_bytes(damaged[: rng.integers(len(damaged) // 2, len(damaged) + 1)])
        try:
            load_features(tmp_path / "f.npz")
        except ValueError as error:
            assert "\n" not in str(error)


def test_an_array_that_claims_more_than_memory_holds(tmp_path):
    columns = good()
    del columns["features"]
    path = write(tmp_path / "f.npz", **columns)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 10**6)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("features.npy", header.getvalue())
    with pytest.raises(ValueError, match="features cannot be read"):
        load_features(path)


def test_canonical_order():
    data = TestFeatures(
        features=np.arange(6.0)[:, None],
        pids=np.array([2, 1, 1, 1, 1, 1]),
        camids=np.array([1, 2, 1, 1, 1, 3]),
        modalities=np.array([RGB, RGB, RGB, RGB, RGB, IR]),
        image_numbers=np.array([1, 1, 12, 3, 1, 1]),
    )
    assert data.of(RGB).features.ravel().tolist() == [4, 3, 2, 1, 0]
    assert data.of(IR).features.ravel().tolist() == [5]
    unnumbered = TestFeatures(data.features, data.pids, data.camids, data.modalities)
    assert unnumbered.of(RGB).features.ravel().tolist() == [2, 3, 4, 1, 0]


def test_both_modalities_are_needed():
    data = TestFeatures(**(good() | {"modalities": np.zeros(4, int)}))
    with pytest.raises(ValueError, match=r"modalities: no ir image \(1\) among the 4 rows"):
        data.of(IR)


def test_a_member_that_is_no_array(tmp_path):
    columns = good()
    del columns["pids"]
    path = write(tmp_path / "f.npz", **columns)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("pids", b"5 5 6 6")
    with pytest.raises(ValueError, match="pids is not an array: write the file with numpy.savez"):
        load_features(path)
