"""TensorBoard's event files, written: as much of the format as scalars, histograms and texts need.

A file is a row of records, each with its length, a masked CRC-32C of that, the data, and a masked CRC-32C of
those. The data are an Event in protocol-buffer encoding, of which five messages are wanted here. Ours, as the
libraries that write it bring protobuf along, whose versions quarrel with TensorFlow's, for a page of code.
Source: TensorFlow's record_writer.cc, event.proto, summary.proto and tensor.proto; RFC 3720 (CRC-32C).
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import UnwritableFileError

__all__ = ["EventFile", "crc32c"]

_FILES = itertools.count()


def _table() -> list[int]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return found


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of the data. Source: RFC 3720, section 12.1 and appendix B.4.

    >>> hex(crc32c(bytes(32))), hex(crc32c(b"123456789"))
    ('0x8a9136aa', '0xe3069283')
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


# -- protocol-buffer encoding: each field is its number and wire type, then the value ---------------


def _varint(value: int) -> bytes:
    """Return a whole number, seven bits a byte, the lowest first; below zero in two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + np.float32(value).tobytes()


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _doubles(number: int, values: Array) -> bytes:
    return _bytes(number, np.asarray(values, "<f8").tobytes())


class EventFile:
    """One event file, written as training goes: every value can be seen at once, also after a crash.

    Parameters: `folder`, made if it is not there; the file's name is its own, so none is ever overwritten.
    Errors: `UnwritableFileError`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        now = time.time()
        name = f"events.out.tfevents.{int(now):010}.{socket.gethostname()}.{os.getpid()}.{next(_FILES)}"
        self.path = Path(folder, name)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "xb")  # noqa: SIM115  # kept open until `close`
        except OSError as error:
            raise UnwritableFileError(
                f"TensorBoard's event file cannot be written to {os.fspath(folder)}: {error.strerror}. "
                "Give another folder."
            ) from None
        self._record(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        self._value(_bytes(1, tag.encode()) + _float(2, value), step)

    def scalars(self, values: Iterable[tuple[str, float]], step: int) -> None:
        """Write several numbers of one step."""
        for tag, value in values:
            self.scalar(tag, value, step)

    def histogram(self, tag: str, values: Any, step: int, bins: int = 30) -> None:
        """Write how values are distributed over as many bins as given, from their least to their greatest.

        Values that are NaN or infinite are left out; with none left nothing is written.
        """
        flat = np.asarray(values, np.float64).reshape(-1)
        flat = flat[np.isfinite(flat)]
        if not flat.size:
            return
        counts, edges = np.histogram(flat, bins, _range(flat, bins))
        histogram = (
            _double(1, flat.min())
            + _double(2, flat.max())
            + _double(3, flat.size)
            + _double(4, flat.sum())
            + _double(5, float(flat @ flat))
            + _doubles(6, edges[1:])
            + _doubles(7, counts)
        )
        self._value(_bytes(1, tag.encode()) + _bytes(5, histogram), step)

    def text(self, tag: str, text: str, step: int = 0) -> None:
        """Write a text, which TensorBoard shows as Markdown."""
        kind = _bytes(1, _bytes(1, b"text"))  # the plugin that shows it
        shape = _bytes(2, _bytes(2, _whole(1, 1)))
        tensor = _whole(1, 7) + shape + _bytes(8, text.encode())  # 7: strings
        self._value(_bytes(1, tag.encode()) + _bytes(9, kind) + _bytes(8, tensor), step)

    def flush(self) -> None:
        """Let readers see what was written."""
        try:
            self._file.flush()
        except OSError as error:
            raise UnwritableFileError(f"{self.path} cannot be written: {error.strerror}.") from None

    def close(self) -> None:
        """Write what is left and close the file."""
        try:
            self._file.close()
        except OSError as error:
            raise UnwritableFileError(f"{self.path} cannot be written: {error.strerror}.") from None

    def _value(self, value: bytes, step: int) -> None:
        self._record(_double(1, time.time()) + _whole(2, step) + _bytes(5, _bytes(1, value)))

    def _record(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        try:
            self._file.write(length + _masked(length) + data + _masked(data))
        except OSError as error:
            raise UnwritableFileError(f"{self.path} cannot be written: {error.strerror}.") from None


def _range(values: Any, bins: int) -> tuple[float, float] | None:
    """Return a range with room for so many bins where the values are too close for it, else None: their own.

    Between numbers a few units of rounding apart there are too few others for the edges.
    """
    low, high = float(values.min()), float(values.max())
    half = (high - low) / 2 if high > low else 0.5  # as NumPy widens the range of a single value
    room = max(2 * bins * float(np.spacing(max(abs(low), abs(high)))), 1e-290)
    middle = low + (high - low) / 2
    return None if half > room else (middle - room, middle + room)
