"""Our own small reader and writer of the safetensors format: named arrays and text, never code.

A file is 8 bytes (the length of the header, little-endian), a JSON header, and the arrays one after
the other. Files written here also carry a checksum: ``sha256`` in the metadata is the SHA-256 of the
whole file with these 64 digits replaced by zeros. See docs/file-format.md.
Source of the format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import DTypeError, FileFormatError, OptionError, one_of
from clearprop.io.files import AnyPath, Chunk, open_to_read, replace_file
from clearprop.io.header import DTYPES, MAX_HEADER, MAX_RANK, MAX_TENSORS, Header, TensorEntry, encode, parse

__all__ = ["Contents", "RawFile", "arrays", "check_checksum", "read", "read_raw", "write"]

CHECKSUM = "sha256"
_NO_CHECKSUM = {CHECKSUM: "0" * 64}

_OTHER_FORMATS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive, such as NumPy's .npz or PyTorch's .pt",
    b"\x93NUMPY": "a NumPy .npy array",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"GGUF": "a GGUF file",
    b"PAR1": "a Parquet file",
    b"\x80": "a Python pickle, which clearprop never loads",
}


class Contents(NamedTuple):
    """What a file holds: arrays by name, and text by name."""

    tensors: dict[str, Array]
    metadata: dict[str, str]


class RawFile(NamedTuple):
    """A file as read: the header's bytes, what they say, and the data's bytes."""

    path: str
    header_bytes: bytes
    header: Header
    data: bytes


def write(
    path: AnyPath, tensors: Mapping[str, Any], metadata: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Write arrays and text to a safetensors file at one stroke; the same content gives the same bytes.

    The header is canonical, and the data are ordered by element size, largest first, then by name, so every
    array is aligned. A ``sha256`` among the metadata is replaced by that of this file.

    Errors: `DTypeError` for an array or text of another type; `OptionError` for what exceeds a limit
    (4096 tensors, 8 axes, 1 MiB of header); those of `clearprop.io.replace_file`.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.safetensors")
    ...     write(path, {"W": np.array([[1.0, 2.0]])}, {"made by": "hand"})
    ...     tensors, metadata = read(path)
    >>> tensors["W"], metadata["made by"], metadata["sha256"][:8]
    (array([[1., 2.]]), 'hand', '4ceac2de')
    """
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DTypeError(f"metadata holds {key!r}: {text!r}; names and values must be text.")
    entries, data = _lay_out(tensors)
    digest = _digest(_encode(entries, {**metadata, **_NO_CHECKSUM}), data)
    header = _encode(entries, {**metadata, CHECKSUM: digest})
    replace_file(path, [_prefix(header), header, *data], overwrite=overwrite)


def read(path: AnyPath, *, require_checksum: bool = True) -> Contents:
    """Return the arrays and the metadata of a safetensors file; the arrays are the caller's own.

    With ``require_checksum=False`` files of other writers are read too; a checksum that is there is checked
    all the same.

    Errors: `FileFormatError` for a file that is truncated, altered, or no safetensors file;
    `MissingFileError`; `UnreadableFileError`.
    """
    raw = read_raw(path)
    if require_checksum or CHECKSUM in raw.header.metadata:
        check_checksum(raw)
    return Contents(arrays(raw), raw.header.metadata)


def read_raw(path: AnyPath) -> RawFile:
    """Return a file's bytes and its parsed header; everything is checked but the checksum."""
    where = str(path)
    with open_to_read(path) as (file, size):
        header_bytes = _read_header(file, size, where)
        header = parse(header_bytes, where)
        _check_size(size, 8 + len(header_bytes) + header.data_size, where)
        data = file.read(header.data_size)
    _check_size(8 + len(header_bytes) + len(data), size, where)  # it may have shrunk meanwhile
    return RawFile(where, header_bytes, header, data)


def check_checksum(raw: RawFile) -> str:
    """Return the checksum that the file states; raise `FileFormatError` unless it is there and right."""
    entries, metadata = raw.header
    stated = metadata.get(CHECKSUM)
    if stated is None:
        raise FileFormatError(
            f"{raw.path} has no checksum ({CHECKSUM} in its metadata), so clearprop did not save it. "
            "clearprop.io.safetensors.read(path, require_checksum=False) reads its arrays."
        )
    try:
        canonical = encode(entries, metadata) == raw.header_bytes
        digest = _digest(encode(entries, {**metadata, **_NO_CHECKSUM}), [raw.data])
    except ValueError:
        canonical, digest = False, ""
    if not canonical:
        raise FileFormatError(
            f"{raw.path} has been altered: its header is not as clearprop writes it. Use another copy."
        )
    if digest != stated:
        raise FileFormatError(
            f"{raw.path} has been altered: its content has the checksum {digest[:12]}…, it states "
            f"{stated[:12]}…. Use another copy."
        )
    return stated


def arrays(raw: RawFile) -> dict[str, Array]:
    """Return the arrays of a file by name, as copies in the machine's byte order."""
    return {entry.name: _array(entry, raw) for entry in raw.header.entries}


def _array(entry: TensorEntry, raw: RawFile) -> Array:
    block = np.frombuffer(raw.data, np.uint8, entry.end - entry.begin, entry.begin)
    dtype = DTYPES[entry.dtype]
    if dtype == np.bool_ and block.size and block.max() > 1:
        raise FileFormatError(
            f"{raw.path} is damaged: its tensor {entry.name!r} holds bytes other than 0 and 1."
        )
    # A copy before the view: in files of other writers the block need not be aligned.
    return block.copy().view(dtype).reshape(entry.shape).astype(dtype.newbyteorder("="), copy=False)


def _lay_out(tensors: Mapping[str, Any]) -> tuple[list[TensorEntry], list[memoryview]]:
    """Return the header's entries and the bytes of all arrays, in the order in which they are stored."""
    if len(tensors) > MAX_TENSORS:
        raise OptionError(f"a file holds at most {MAX_TENSORS} tensors. Got {len(tensors)}.")
    stored = [(name, *_storable(name, value)) for name, value in tensors.items()]
    entries, data, begin = [], [], 0
    for name, dtype, array in sorted(stored, key=lambda row: (-row[2].itemsize, row[0])):
        entries.append(TensorEntry(name, dtype, array.shape, begin, begin + array.nbytes))
        data.append(array.reshape(-1).view(np.uint8).data)
        begin += array.nbytes
    return entries, data


def _storable(name: str, value: Any) -> tuple[str, Array]:
    """Return the format's name of the array's type and the array as it is stored."""
    if not isinstance(name, str) or name == "__metadata__":
        raise OptionError(f"a tensor cannot be called {name!r}.")
    array = np.asarray(value)
    little = array.dtype.newbyteorder("<")
    dtype = next((label for label, known in DTYPES.items() if known == little), None)
    if dtype is None:
        raise DTypeError(
            f"the tensor {name!r} has the dtype {array.dtype}, which a file cannot hold. Convert it to one "
            f"of {one_of(known.name for known in DTYPES.values())}."
        )
    if array.ndim > MAX_RANK:
        raise OptionError(f"the tensor {name!r} has {array.ndim} axes; a file holds at most {MAX_RANK}.")
    return dtype, np.asarray(array, dtype=little, order="C")


def _encode(entries: Iterable[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    try:
        header = encode(entries, metadata)
    except UnicodeEncodeError as error:
        raise OptionError(
            f"the metadata cannot be saved, because text in it is not Unicode: {error}."
        ) from None
    if len(header) > MAX_HEADER:
        raise OptionError(
            f"the header would take {_grouped(len(header))} bytes, and {_grouped(MAX_HEADER)} are allowed: "
            "too many tensors, or too much text. Save long lists of numbers as tensors."
        )
    return header


def _digest(header: bytes, data: Iterable[Chunk]) -> str:
    digest = hashlib.sha256(_prefix(header) + header)
    for chunk in data:
        digest.update(chunk)
    return digest.hexdigest()


def _prefix(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little")


def _read_header(file: BinaryIO, size: int, where: str) -> bytes:
    prefix = file.read(8)
    if len(prefix) < 8:
        state = "is empty" if not prefix else f"holds {len(prefix)} bytes, too few for any header"
        raise FileFormatError(f"{where} {state}: the file is truncated, or not a safetensors file.")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise FileFormatError(
            f"{where} is not a safetensors file{_looks_like(prefix)}: its first 8 bytes promise a header of "
            f"{length} bytes, and {MAX_HEADER} are allowed."
        )
    header = file.read(min(length, size))  # no more memory than the file has bytes, whatever it promises
    if header and not header.startswith(b"{"):
        raise FileFormatError(
            f"{where} is not a safetensors file{_looks_like(prefix)}: it has no JSON header."
        )
    if len(header) < length:
        raise FileFormatError(
            f"{where} holds {_grouped(size)} bytes, its header alone takes {_grouped(8 + length)}: "
            "the file is truncated. Copy or save it again."
        )
    return header


def _looks_like(prefix: bytes) -> str:
    for magic, what in _OTHER_FORMATS.items():
        if prefix.startswith(magic):
            return f" (it looks like {what})"
    text = all(9 <= byte <= 13 or 32 <= byte < 127 for byte in prefix)
    return " (it looks like text)" if text else ""


def _check_size(size: int, promised: int, where: str) -> None:
    if size < promised:
        raise FileFormatError(
            f"{where} holds {_grouped(size)} bytes, its header promises {_grouped(promised)}: "
            "the file is truncated. Copy or save it again."
        )
    if size > promised:
        raise FileFormatError(
            f"{where} holds {_grouped(size)} bytes, its header describes {_grouped(promised)}: "
            f"{_grouped(size - promised)} bytes at the end belong to nothing. Copy or save it again."
        )


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
