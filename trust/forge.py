"""Files with a fault: bytes changed at random, and headers changed in their meaning and signed anew.

A change of bytes seldom gets past the checksum. So a forged header is written in the one spelling that the
loader takes, with a checksum that is right: what then refuses it is the reading of its content.
"""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Parts", "change_bytes", "change_meaning", "decoded", "sign", "take_apart"]

METADATA = "__metadata__"
JSON_IN_TEXT = ("architecture", "extra")
"""What in the metadata is itself JSON, as text."""

DEEP: Any = json.loads("[" * 60 + "]" * 60)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, -1, 3, 255, 4096, 2**26, 2**26 + 1, 2**31, 2**63, 2**64, -(2**63), 10**30),
    *(
        0.0,
        -0.0,
        0.5,
        1.5,
        -1.5,
        1e308,
        5e-324,
        1e-30,
        "",
        "0",
        "x",
        "NaN",
        "relu",
        "softmax",
        "dense",
        "float16",
    ),
    *(
        "\x00",
        "ü" * 40,
        "x" * 3000,
        "../../etc/passwd",
        "os.system",
        "__class__",
        "__import__('os')",
        "$array",
    ),
    *([], {}, [0], [1, 2, 3], [[]], [None] * 50, {"kind": "layer"}, {"kind": "layer", "name": "dense"}, DEEP),
    {"kind": "activation", "name": "relu"},
    {"kind": "cost", "name": "huber", "threshold": -1.0},
    {"kind": "builtins", "name": "eval"},
)
"""What is put in the place of something else."""


class Parts(NamedTuple):
    """A file taken apart: its header as data, the JSON in its metadata decoded, and its arrays' bytes."""

    header: dict[str, Any]
    data: bytes


def take_apart(whole: bytes) -> Parts:
    """Return the parts of a sound file."""
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    return Parts(decoded(header), whole[end:])


def decoded(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header whose architecture and extra are data, not text."""
    metadata = {
        name: json.loads(text) if name in JSON_IN_TEXT else text for name, text in header[METADATA].items()
    }
    return {**header, METADATA: metadata}


def sign(header: dict[str, Any], data: bytes) -> bytes:
    """Return the file with this header, spelt as a sound one and with a checksum that is right.

    >>> whole = sign({"__metadata__": {"a": "b"}}, b"")
    >>> len(whole) % 8, b"sha256" in whole
    (0, True)
    """
    metadata = header.get(METADATA)
    if not isinstance(metadata, dict):
        return _spelt(header) + data
    texts = {n: _dumps(v, True) if n in JSON_IN_TEXT and v is not None else v for n, v in metadata.items()}
    unsigned = {**header, METADATA: {**texts, "sha256": "0" * 64}}
    digest = hashlib.sha256(_spelt(unsigned) + data).hexdigest()
    return _spelt({**unsigned, METADATA: {**texts, "sha256": digest}}) + data


def _spelt(header: dict[str, Any]) -> bytes:
    text = _dumps(header, False).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _dumps(value: Any, ascii_only: bool) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only)


# Bytes -------------------------------------------------------------------------------------------


def change_bytes(whole: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to four changes of its bytes, without regard to their meaning."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 5))):
        _CHANGES[int(rng.integers(len(_CHANGES)))](data, other, rng)
    return bytes(data)


def _span(data: bytearray, rng: np.random.Generator, most: int = 64) -> slice:
    start = int(rng.integers(len(data) + 1))
    return slice(start, start + int(rng.integers(1, most)))


def _flip(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    if data:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    span = _span(data, rng)
    data[span] = rng.bytes(len(data[span]))


def _insert(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    start = int(rng.integers(len(data) + 1))
    data[start:start] = rng.bytes(int(rng.integers(1, 64)))


def _delete(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del data[_span(data, rng)]


def _repeat(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    span = _span(data, rng)
    data[span] = bytes(data[span]) * int(rng.integers(2, 200))


def _cut(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) + 1)) :]


def _splice(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    data[int(rng.integers(len(data) + 1)) :] = other[int(rng.integers(len(other) + 1)) :]


def _length(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    near = int.from_bytes(data[:8], "little") + int(rng.integers(-16, 17))
    values = (0, 1, 2**20, 2**20 + 1, 2**31, 2**63, 2**64 - 1, max(0, near), len(data), len(data) - 8)
    value = values[int(rng.integers(len(values)))]
    data[:8] = min(max(0, value), 2**64 - 1).to_bytes(8, "little")


def _digit(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    codes = np.frombuffer(bytes(data[:4000]), np.uint8)
    places = np.flatnonzero((codes >= 48) & (codes <= 57))
    if len(places):
        data[places[int(rng.integers(len(places)))]] = int(rng.integers(48, 58))


_CHANGES = (_flip, _overwrite, _insert, _delete, _repeat, _cut, _splice, _length, _digit)


# Meaning -----------------------------------------------------------------------------------------


def change_meaning(parts: Parts, names: list[str], rng: np.random.Generator) -> bytes:
    """Return a signed file of whose content one to three things are others. `names`: registered ones."""
    header, data = json.loads(json.dumps(parts.header)), parts.data
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(header))
        holder, key = places[int(rng.integers(len(places)))]
        _change_one(holder, key, header, names, rng)
    if rng.random() < 0.1:
        data = change_bytes(data, data, rng)
    return sign(header, data)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in nested data that something else can be put in: what holds it, and the key."""
    found, holders = [], [value]
    while holders:
        holder = holders.pop()
        for key, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            found.append((holder, key))
            if isinstance(item, dict | list):
                holders.append(item)
    return found


def _change_one(holder: Any, key: Any, header: Any, names: list[str], rng: np.random.Generator) -> None:
    old, choice = holder[key], rng.random()
    if choice < 0.45:
        holder[key] = deepcopy(VALUES[int(rng.integers(len(VALUES)))])  # the next change may be inside it
    elif choice < 0.6 and isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = (
            old + int(rng.integers(-2, 3)) if rng.random() < 0.5 else old * 2 ** int(rng.integers(40))
        )
    elif choice < 0.75 and isinstance(old, str):
        holder[key] = names[int(rng.integers(len(names)))]
    elif choice < 0.85:
        del holder[key]
    elif isinstance(holder, list):
        holder.extend([old] * int(rng.integers(1, 30)))
    else:
        places = _places(header)
        there, name = places[int(rng.integers(len(places)))]
        holder[key] = json.loads(json.dumps(there[name]))
