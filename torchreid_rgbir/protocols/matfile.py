"""Reads cells and numeric arrays of a MATLAB 5 file (MathWorks, "MAT-File Format", level 5).

scipy's reader crashes the Python process on some damaged files (tests/protocols/test_matfile.py shows one). This reader checks every
length against the number of bytes.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CELL_CLASS, NUMERIC_CLASSES = 1, range(6, 16)
MAX_BYTES = 2**28  # of one variable, unpacked
MAX_DEPTH = 3


def read_variable(path: str | Path, name: str) -> NDArray | None:
    """Reads one variable: numbers as an array, a cell array as an array of objects. Returns None if there is no such variable.

    Raises:
        ValueError: the file is not a MATLAB 5 file or is damaged, or the variable is of a different kind.
    """
    content = Path(path).read_bytes()
    byte_order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if byte_order is None:
        raise ValueError("it has no header of a MATLAB 5 file")
    if content[124:126] not in (b"\x00\x01", b"\x01\x00"):
        raise ValueError("it has a different version, perhaps 7.3: save it with -v7")
    try:
        for kind, data in _elements(content[HEADER_BYTES:], byte_order):
            if kind == COMPRESSED:
                ((kind, data),) = _elements(zlib.decompressobj().decompress(data, MAX_BYTES), byte_order)
            if kind == MATRIX and _parts(data, byte_order)[2] == name:
                return _array(data, byte_order, depth=0)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    return None


def _elements(data: bytes, byte_order: str) -> Iterator[tuple[int, bytes]]:
    """Yields (kind, content) of the elements in `data`."""
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise ValueError(f"it is damaged: an element has only {len(data) - place} bytes")
        kind, size = struct.unpack_from(f"{byte_order}II", data, place)
        start = place + 8
        if kind >> 16:  # a small element: its tag contains its content
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if size > (4 if start == place + 4 else len(data) - start):
            raise ValueError(f"it is damaged or cut off: an element has {size} bytes, and {len(data) - start} are left")
        yield kind, data[start : start + size]
        place = start + size
        if kind != COMPRESSED:
            place += -place % 8


def _parts(data: bytes, byte_order: str) -> tuple[int, tuple[int, ...], str, list[tuple[int, bytes]]]:
    """The class, shape, name and remaining elements of a matrix."""
    parts = list(_elements(data, byte_order))
    if len(parts) < 3 or len(parts[0][1]) != 8 or not parts[1][1] or len(parts[1][1]) % 4:
        raise ValueError("it is damaged: a matrix has no flags, dimensions or name")
    flags, _ = struct.unpack(f"{byte_order}II", parts[0][1])
    shape = tuple(np.frombuffer(parts[1][1], f"{byte_order}i4").tolist())
    if min(shape) < 0:
        raise ValueError(f"it is damaged: a matrix has shape {shape}")
    return flags & 0xFF, shape, parts[2][1].decode("latin-1"), parts[3:]


def _array(data: bytes, byte_order: str, depth: int) -> NDArray:
    if not data:
        return np.empty((0, 0))  # an empty cell may have no content
    kind, shape, _, content = _parts(data, byte_order)
    size = math.prod(shape)
    if kind == CELL_CLASS and depth < MAX_DEPTH:
        if len(content) != size or any(element != MATRIX for element, _ in content):
            raise ValueError(f"it is damaged: {len(content)} cells in an array of shape {shape}")
        cells = np.empty(size, object)
        for i, (_, cell) in enumerate(content):
            cells[i] = _array(cell, byte_order, depth + 1)
        return cells.reshape(shape, order="F")
    if kind not in NUMERIC_CLASSES or len(content) != 1 or content[0][0] not in STORED:
        raise ValueError(f"it contains a variable of class {kind}, expected cells and plain numbers")
    stored = np.dtype(byte_order + STORED[content[0][0]])
    if len(content[0][1]) != size * stored.itemsize:
        raise ValueError(f"it is damaged: {len(content[0][1])} bytes for numbers of shape {shape}")
    return np.frombuffer(content[0][1], stored).reshape(shape, order="F").astype(stored.newbyteorder("="))
