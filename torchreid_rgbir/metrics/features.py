"""The features and labels of a test set, and the .npz file that stores them."""

import dataclasses
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.files import atomic
from torchreid_rgbir.modality import IR, NAMES, RGB

INTEGER_FIELDS = ("pids", "camids", "modalities")
# What numpy and zipfile raise for a damaged file.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    KeyError,
    ValueError,
    MemoryError,
    NotImplementedError,
)


@dataclass(frozen=True)
class TestFeatures:
    """The test images of both modalities, one row per image.

    Attributes:
        features: (N, D), float32 or float64.
        pids: (N,) identities; negative for junk images, which no protocol uses (as in Market-1501).
        camids: (N,) cameras as the data set numbers them; 0 = unknown.
        modalities: (N,) 0 RGB, 1 IR.
        image_numbers: (N,) 1-based place of the image in the sorted list of its camera and identity, or None.
        paths: (N,) the path of each image, or None.
    """

    __test__ = False  # its name makes pytest look for tests in it

    features: NDArray[np.floating]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    modalities: NDArray[np.int64]
    image_numbers: NDArray[np.int64] | None = None
    paths: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.pids)

    @property
    def labels(self) -> "TestFeatures":
        """The same rows with features of zero columns."""
        return dataclasses.replace(self, features=self.features[:, :0])

    def without_junk(self) -> "TestFeatures":
        """The rows whose identity is not negative."""
        return self if (self.pids >= 0).all() else self.take(self.pids >= 0)

    def take(self, rows: NDArray) -> "TestFeatures":
        """The images of `rows` (indices or a mask), in that order."""
        numbers = None if self.image_numbers is None else self.image_numbers[rows]
        paths = None if self.paths is None else self.paths[rows]
        return TestFeatures(
            self.features[rows], self.pids[rows], self.camids[rows], self.modalities[rows], numbers, paths
        )

    def of(self, modality: int) -> "TestFeatures":
        """The images of one modality in canonical order: by identity, then camera, then number.

        Equal distances are ranked in this order, so the given order of the rows changes nothing. Rows that share all three
        (or have no number) keep their given order.

        Raises:
            ValueError: there is no such image.
        """
        rows = np.flatnonzero(self.modalities == modality)
        if rows.size == 0:
            raise ValueError(
                f"modalities: no {NAMES[modality]} image ({modality}) among the {len(self)} rows: both modalities are needed"
            )
        keys = (self.camids, self.pids) if self.image_numbers is None else (self.image_numbers, self.camids, self.pids)
        return self.take(rows[np.lexsort([key[rows] for key in keys])])


def check_features(data: TestFeatures) -> TestFeatures:
    """The same rows with the dtypes that TestFeatures promises.

    Raises:
        ValueError: a feature is not finite or so large or small that its length cannot be computed, or as `check_labels`. The message
            names the field and the first row.
    """
    features = np.asarray(data.features)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"features: shape {features.shape}, expected (N, D) with at least one row and one column")
    if features.dtype.kind != "f":
        raise ValueError(f"features: dtype {features.dtype}, expected float32 or float64")
    # float16 is widened and longdouble narrowed; either byte order becomes the machine's.
    features = features.astype(np.float32 if features.dtype.itemsize <= 4 else np.float64, copy=False)
    squares = np.einsum("nd,nd->n", features, features)  # overflows or vanishes exactly when a distance would
    moderate = np.isfinite(squares) & ((squares >= np.finfo(features.dtype).tiny) | ~features.any(axis=1))
    if not moderate.all():
        row = int(np.argmin(moderate))
        value = features[row][np.argmax(np.abs(features[row]))]  # numpy takes NaN for the largest
        raise ValueError(
            f"features: row {row} holds {value:g}, expected finite numbers of moderate size: extract or scale the features again"
        )
    return check_labels(dataclasses.replace(data, features=features))


def check_labels(data: TestFeatures) -> TestFeatures:
    """The same rows with every column but the features checked, and integers as int64.

    Raises:
        ValueError: a column has a wrong shape, dtype or length, or a value that it must not have.
    """
    columns = {name: getattr(data, name) for name in INTEGER_FIELDS}
    if data.image_numbers is not None:
        columns["image_numbers"] = data.image_numbers
    for name, column in columns.items():
        column = np.asarray(column)
        _check_length(name, column, len(data.features))
        if column.dtype.kind not in "iu":
            texts = column.astype(str).tolist() if column.dtype.kind in "US" else []
            wrong = [row for row, text in enumerate(texts) if not text.removeprefix("-").isdecimal()]
            first = f", row {wrong[0]} is {texts[wrong[0]][:40]!r}" if wrong else ""
            raise ValueError(f"{name}: dtype {column.dtype}{first}, expected integers")
        if column.dtype == np.uint64 and column.max() > np.iinfo(np.int64).max:
            row = int(np.argmax(column > np.iinfo(np.int64).max))
            raise ValueError(f"{name}: row {row} is {column[row]}, expected less than 2 ** 63")
        columns[name] = column.astype(np.int64, copy=False)
    _check_smallest("camids", columns["camids"], 0, "cameras are numbered from 1; 0 means unknown")
    if data.image_numbers is not None:
        _check_smallest("image_numbers", columns["image_numbers"], 1, "images are numbered from 1")
    unknown = ~np.isin(columns["modalities"], (RGB, IR))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"modalities: row {row} is {columns['modalities'][row]}, expected {RGB} (RGB) or {IR} (IR)")

    paths = None if data.paths is None else np.asarray(data.paths)
    if paths is not None:
        _check_length("paths", paths, len(data.features))
        if paths.dtype.kind != "U":
            raise ValueError(f"paths: dtype {paths.dtype}, expected strings")
    return dataclasses.replace(data, **columns, paths=paths)


def load_features(path: str | Path) -> TestFeatures:
    """Reads FEATURES.npz: `features`, `pids`, `camids`, `modalities`, optionally `image_numbers` and `paths`.

    Nothing in the file is unpickled.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is not an .npz file, lacks a field, contains pickled objects or fails `check_features`.
    """
    try:
        columns = _read_npz(Path(path))
        missing = [name for name in ("features", *INTEGER_FIELDS) if name not in columns]
        if missing:
            raise ValueError(f"field {missing[0]} is missing: expected features, pids, camids and modalities")
        return check_features(TestFeatures(**columns))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save_features(path: str | Path, data: TestFeatures) -> None:
    """Writes the file that `load_features` reads. No suffix is added to its name."""
    columns = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    with atomic.replacing(path) as file:
        np.savez(file, **{name: column for name, column in columns.items() if column is not None})


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the .npz file with the features")
    try:
        archive = np.load(path, allow_pickle=False)
    except _UNREADABLE:
        archive = None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(
            "it is not an .npz file: write it with numpy.savez(file, features=..., pids=..., camids=..., modalities=...)"
        )
    columns = {}
    with archive:
        for name in [field.name for field in dataclasses.fields(TestFeatures) if field.name in archive]:
            try:
                columns[name] = archive[name]
            except _UNREADABLE as error:
                reason = "it contains pickled objects" if "pickle" in str(error).lower() else error
                raise ValueError(f"{name} cannot be read ({reason}): save it as a plain array of numbers") from None
            if not isinstance(columns[name], np.ndarray):
                raise ValueError(f"{name} is not an array: write the file with numpy.savez")
    return columns


def _check_length(name: str, column: np.ndarray, length: int) -> None:
    if column.shape != (length,):
        raise ValueError(f"{name}: shape {column.shape}, expected ({length},), one entry per row of features")


def _check_smallest(name: str, column: np.ndarray, smallest: int, rule: str) -> None:
    if column.min() < smallest:
        row = int(np.argmax(column < smallest))
        raise ValueError(f"{name}: row {row} is {column[row]}: {rule}")
