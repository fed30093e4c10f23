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
OPTIONAL_FIELDS = ("image_numbers", "paths", "tracks", "roles")
BOTH_ROLES, QUERY_ONLY, GALLERY_ONLY = 0, 1, 2
# Column -> which values are allowed, and the rule in words.
_ALLOWED = {
    "camids": [(lambda column: column >= 0, "but cameras are numbered from 1, and 0 means unknown")],
    "image_numbers": [(lambda column: column >= 1, "but images are numbered from 1")],
    "modalities": [(lambda column: np.isin(column, (RGB, IR)), f"expected {RGB} (RGB) or {IR} (IR)")],
    "tracks": [(lambda column: column >= 0, "but tracks are numbered from 1, and 0 means that the image has none")],
    "roles": [
        (
            lambda column: np.isin(column, (BOTH_ROLES, QUERY_ONLY, GALLERY_ONLY)),
            "expected 0 (query and gallery), 1 (query) or 2 (gallery)",
        )
    ],
}
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
        tracks: (N,) the number of the image's track among those of its identity, camera and modality, 0 = none; or None.
            A protocol scores the mean feature of a track (`metrics.tracks`).
        roles: (N,) whether the image is a query and a gallery image (0), a query only (1) or a gallery image only (2). None:
            every image is both.
    """

    __test__ = False  # its name makes pytest look for tests in it

    features: NDArray[np.floating]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    modalities: NDArray[np.int64]
    image_numbers: NDArray[np.int64] | None = None
    paths: NDArray[np.str_] | None = None
    tracks: NDArray[np.int64] | None = None
    roles: NDArray[np.int64] | None = None

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
        columns = {name: column[rows] for name, column in vars(self).items() if column is not None}
        return TestFeatures(**columns)

    def queries(self, modality: int) -> "TestFeatures":
        """The queries of one modality, as `of` returns them."""
        return (self if self.roles is None else self.take(self.roles != GALLERY_ONLY)).of(modality)

    def gallery(self, modality: int) -> "TestFeatures":
        """The gallery images of one modality, as `of` returns them."""
        return (self if self.roles is None else self.take(self.roles != QUERY_ONLY)).of(modality)

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
    columns = {name: np.asarray(getattr(data, name)) for name in INTEGER_FIELDS}
    columns |= {name: np.asarray(getattr(data, name)) for name in OPTIONAL_FIELDS if getattr(data, name) is not None}
    for name, column in columns.items():
        if column.shape != (len(data.features),):
            expected = f"({len(data.features)},), one entry per row of features"
            raise ValueError(f"{name}: shape {column.shape}, expected {expected}")
        if name == "paths":
            if column.dtype.kind != "U":
                raise ValueError(f"paths: dtype {column.dtype}, expected strings")
            continue
        if column.dtype.kind not in "iu":
            texts = column.astype(str).tolist() if column.dtype.kind in "US" else []
            wrong = [row for row, text in enumerate(texts) if not text.removeprefix("-").isdecimal()]
            first = f", row {wrong[0]} is {texts[wrong[0]][:40]!r}" if wrong else ""
            raise ValueError(f"{name}: dtype {column.dtype}{first}, expected integers")
        for is_allowed, rule in ((_fits_int64, "expected less than 2 ** 63"), *_ALLOWED.get(name, ())):
            allowed = is_allowed(column)
            if not allowed.all():
                row = int(np.argmin(allowed))
                raise ValueError(f"{name}: row {row} is {column[row]}, {rule}")
        columns[name] = column.astype(np.int64, copy=False)
    return dataclasses.replace(data, **columns)


def _fits_int64(column: NDArray) -> NDArray[np.bool_]:
    return column <= np.iinfo(np.int64).max


def load_features(path: str | Path) -> TestFeatures:
    """Reads FEATURES.npz: `features`, `pids`, `camids`, `modalities`, and optionally the other columns of `TestFeatures`.

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
                reason = (
                    "it contains pickled objects, perhaps numbers beyond 64 bits"
                    if "pickle" in str(error).lower()
                    else error
                )
                raise ValueError(f"{name} cannot be read ({reason}): save it as a plain array of numbers") from None
            if not isinstance(columns[name], np.ndarray):
                raise ValueError(f"{name} is not an array: write the file with numpy.savez")
    return columns
