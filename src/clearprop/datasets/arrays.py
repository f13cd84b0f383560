"""Reading arrays from the files that image data sets come in: IDX (plain or .gz) and NPZ."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearprop.checks import as_path
from clearprop.datasets.files import first_bytes, open_binary
from clearprop.errors import FileFormatError, one_of

__all__ = ["parse_idx", "read_idx", "read_npz"]

# http://yann.lecun.com/exdb/mnist: the third byte of an IDX file; all numbers are big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> NDArray[Any]:
    """Return the array in an IDX file, decompressed if its name ends in .gz.

    Errors: `MissingFileError`; `FileFormatError` if it is no IDX file or has the wrong length.
    """
    path = as_path(path)
    with open_binary(path) as file:
        content = file.read()
    return parse_idx(content, str(path))


def parse_idx(content: bytes, where: str) -> NDArray[Any]:
    """Return the array in the bytes of an IDX file; `where` names it in errors.

    The format: two zero bytes, the type, the number of axes, each size as a big-endian uint32, the data.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]), "labels").tolist()
    [5, 0, 4]
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES or content[3] == 0:
        raise FileFormatError(f"{where} is not an IDX file: it starts with {content[:4]!r}")
    n_axes, start = content[3], 4 + 4 * content[3]
    if len(content) < start:
        raise FileFormatError(f"{where} is cut off: its header has {n_axes} axes, but {len(content)} bytes")
    shape = struct.unpack(f">{n_axes}I", content[4:start])
    dtype = np.dtype(IDX_TYPES[content[2]])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        raise FileFormatError(
            f"{where} has {len(content) - start} bytes of data, but its header says {shape}: {expected} bytes"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the arrays x_train, y_train and, if there, x_test, y_test of an .npz file.

    Errors: `MissingFileError`; `FileFormatError` if the file is no .npz file, is damaged, lacks
    an array, or holds Python objects (which are never unpickled).
    """
    import zipfile  # here, for it slows `import clearprop` down

    path = as_path(path)
    first_bytes(path)
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is not an .npz file (a zip archive of arrays), or is cut off")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {
                name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test") if name in names
            }
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(f"{path} is damaged or holds no plain arrays: {error}") from None
    needed = ["x_train", "y_train"] + (["x_test", "y_test"] if {"x_test", "y_test"} & set(arrays) else [])
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise FileFormatError(f"{path} has no array {one_of(missing)}; it holds {one_of(names) or 'nothing'}")
    return arrays
