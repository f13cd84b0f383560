"""The header of a safetensors file: which tensor lies where, and metadata; parsed with distrust."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from clearprop.errors import FileFormatError, one_of
from clearprop.io import strict_json

__all__ = ["DTYPES", "MAX_HEADER", "MAX_RANK", "MAX_TENSORS", "Header", "TensorEntry", "encode", "parse"]

MAX_HEADER = 1 << 20
"""Longest header in bytes."""
MAX_TENSORS = 4096
MAX_RANK = 8

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""The format's names of element types; numbers are stored little-endian."""

_METADATA = "__metadata__"


class TensorEntry(NamedTuple):
    """One tensor: its name, element type, shape, and first and last + 1 byte in the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """What a header says: the tensors in the order of their data, and text by name."""

    entries: tuple[TensorEntry, ...]
    metadata: dict[str, str]

    @property
    def data_size(self) -> int:
        """Number of bytes of data after the header."""
        return self.entries[-1].end if self.entries else 0


def encode(entries: Iterable[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    """Return the header in its one canonical spelling, padded with spaces to a multiple of 8 bytes.

    Errors: `ValueError` for text that is not Unicode (a lone surrogate).

    >>> encode([TensorEntry("b", "F32", (2,), 0, 8)], {"by": "me"})
    b'{"__metadata__":{"by":"me"},"b":{"data_offsets":[0,8],"dtype":"F32","shape":[2]}}       '
    """
    table: dict[str, Any] = {
        entry.name: {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
        for entry in entries
    }
    text = strict_json.dumps({**table, _METADATA: dict(metadata)}, ascii_only=False).encode("utf-8")
    return text + b" " * (-len(text) % 8)


def parse(header: bytes, where: str) -> Header:
    """Return what the header says, having checked every word of it. `where` names the file.

    Errors: `FileFormatError` for bad JSON, duplicate names, unknown types, and for tensors that do
    not lie one after the other without gap or overlap from byte 0 on.
    """
    try:
        table = strict_json.loads(header.decode("utf-8"))
    except ValueError as error:
        raise FileFormatError(
            f"{where} is damaged, or not a safetensors file: its header is not sound JSON ({error})."
        ) from None
    if not isinstance(table, dict):
        raise FileFormatError(f"{where} is not a safetensors file: its header is not a JSON object.")
    metadata = table.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise FileFormatError(f"{where} is not a safetensors file: its {_METADATA} is not text by name.")
    if len(table) > MAX_TENSORS:
        raise FileFormatError(f"{where} holds {len(table)} tensors; at most {MAX_TENSORS} are read.")
    entries = sorted((_entry(name, row, where) for name, row in table.items()), key=_place)
    _check_contiguous(entries, where)
    return Header(tuple(entries), metadata)


def _place(entry: TensorEntry) -> tuple[int, int, str]:
    return entry.begin, entry.end, entry.name


def _entry(name: str, row: Any, where: str) -> TensorEntry:
    tensor = f"{where} is damaged: its tensor {name[:80]!r}"
    if not isinstance(row, dict) or row.keys() != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{tensor} is not described by dtype, shape and data_offsets.")
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FileFormatError(f"{tensor} has the dtype {_short(dtype)}; known are {one_of(DTYPES)}.")
    if not _are_counts(shape) or len(shape) > MAX_RANK:
        raise FileFormatError(
            f"{tensor} has the shape {_short(shape)}; it must be a list of at most {MAX_RANK} sizes."
        )
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FileFormatError(f"{tensor} has the data_offsets {_short(offsets)}; they must be [begin, end].")
    # An empty tensor may claim any other axis, so its axes are bounded as well: 2^63 bytes overflow NumPy.
    itemsize = DTYPES[dtype].itemsize
    if itemsize * math.prod(size for size in shape if size) >= 1 << 63:
        raise FileFormatError(f"{tensor} has the shape {_short(shape)}, more than any memory holds.")
    if itemsize * math.prod(shape) != offsets[1] - offsets[0]:
        raise FileFormatError(
            f"{tensor} of shape {_short(shape)} and dtype {dtype} needs {itemsize * math.prod(shape)} bytes; "
            f"its data_offsets {_short(offsets)} hold {offsets[1] - offsets[0]}."
        )
    return TensorEntry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_contiguous(entries: list[TensorEntry], where: str) -> None:
    end, before = 0, "the start of the data"
    for entry in entries:
        if entry.begin != end:
            what = "overlaps" if entry.begin < end else "leaves a gap after"
            raise FileFormatError(
                f"{where} is damaged: its tensor {entry.name[:80]!r} {what} {before}: it begins at byte "
                f"{entry.begin} of the data, and byte {end} is next."
            )
        end, before = entry.end, f"the tensor {entry.name[:80]!r}"
