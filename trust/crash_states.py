"""What a disk may hold after a power cut, given the calls that a process had made on files until then.

The model, as POSIX allows and file systems do:

- Content. What was written to a file before its last fsync is there. Each later write may be there, or not,
  or in its first part only, or as zeros (the size was stored, the bytes were not).
- Names. A change of a folder (a name made, renamed, linked, removed) is there if the folder was synced
  after it. Of later changes any selection is there; one change is there wholly or not at all.

Syncing a file does not keep its name, and syncing a folder does not keep the content of its files.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trust.shim import Call

__all__ = ["crash_states"]

FOLDER = -1
"""The "file" that a descriptor of the folder itself stands for."""

Names = dict[str, int | None]
"""A change of names: which file each has afterwards; None where it has none."""


@dataclass
class _Change:
    """One change of a file's content: bytes at a place, or (bytes None) a new length."""

    place: int
    data: bytes | None


@dataclass
class _File:
    durable: bytearray
    volatile: list[_Change] = field(default_factory=list)


@dataclass
class _Disk:
    """The files, what a descriptor stands for, and the names: synced, and as the process sees them."""

    files: list[_File]
    synced: dict[str, int]
    current: dict[str, int]
    renames: list[Names] = field(default_factory=list)
    """The changes of names since the folder was synced."""
    open: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of a descriptor: its file and the place in it."""


def crash_states(
    calls: Iterable[Call],
    folder: Path,
    before: Mapping[str, bytes],
    rng: np.random.Generator,
    most: int,
) -> Iterator[dict[str, bytes]]:
    """Yield contents of the folder, by name, that the disk may hold when the power goes after these calls.

    before: what the folder held, synced, at the start. most: if there are more states, so many are drawn.
    """
    disk = _Disk([_File(bytearray(data)) for data in before.values()], {}, {})
    disk.current = {name: i for i, name in enumerate(before)}
    disk.synced = dict(disk.current)
    for call in calls:
        _apply(call, folder, disk)
    selections = _selections(len(disk.renames), rng, most)
    tables = {tuple(sorted(_names(disk, kept).items())) for kept in selections}
    for table in sorted(tables):
        yield from _contents(disk, table, rng, max(4, most // len(tables)))


def _apply(call: Call, folder: Path, disk: _Disk) -> None:
    """Change the disk as a call that succeeded did."""
    number, place = disk.open.get(call.fd, (None, 0))
    if call.name == "open":
        _open(call, folder, disk)
    elif call.name in ("rename", "link", "unlink"):
        _rename(call, folder, disk)
    elif call.name == "close":
        disk.open.pop(call.fd, None)
    elif number is None:
        return  # a file outside the folder
    elif call.name == "fsync":
        _sync(number, disk)
    elif call.name == "lseek":
        disk.open[call.fd] = number, call.number
    elif call.name == "write":
        disk.files[number].volatile.append(_Change(place, call.data))
        disk.open[call.fd] = number, place + len(call.data)
    elif call.name == "ftruncate":
        disk.files[number].volatile.append(_Change(call.number, None))
    else:
        raise ValueError(f"the shim recorded a call that has no meaning here: {call.name}.")


def _open(call: Call, folder: Path, disk: _Disk) -> None:
    path = Path(call.path)
    if path == folder:
        disk.open[call.fd] = FOLDER, 0
        return
    if path.parent != folder:
        return
    if path.name not in disk.current:
        disk.files.append(_File(bytearray()))
        _change_names({path.name: len(disk.files) - 1}, disk)
    number = disk.current[path.name]
    if call.number & os.O_TRUNC:
        disk.files[number].volatile.append(_Change(0, None))
    disk.open[call.fd] = number, 0


def _rename(call: Call, folder: Path, disk: _Disk) -> None:
    source = Path(call.path)
    if source.parent != folder:
        return
    if call.name == "unlink":
        _change_names({source.name: None}, disk)
        return
    target = Path(os.fsdecode(call.data)).name
    change: Names = {target: disk.current[source.name]}
    if call.name == "rename":
        change[source.name] = None
    _change_names(change, disk)


def _change_names(change: Names, disk: _Disk) -> None:
    disk.renames.append(change)
    _take(change, disk.current)


def _take(change: Names, names: dict[str, int]) -> None:
    for name, number in change.items():
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number


def _sync(number: int, disk: _Disk) -> None:
    if number == FOLDER:
        disk.synced, disk.renames = dict(disk.current), []
        return
    file = disk.files[number]
    for change in file.volatile:
        _put(file.durable, change)
    file.volatile = []


def _put(content: bytearray, change: _Change) -> None:
    if change.data is None:
        del content[change.place :]
        content.extend(bytes(change.place - len(content)))
        return
    content.extend(bytes(max(0, change.place - len(content))))
    content[change.place : change.place + len(change.data)] = change.data


def _selections(n: int, rng: np.random.Generator, most: int) -> list[tuple[bool, ...]]:
    """Return every selection of n changes, or so many drawn ones with none and all of them."""
    if 2**n <= most:
        return list(itertools.product((False, True), repeat=n))
    drawn = [tuple(bool(kept) for kept in rng.integers(0, 2, n)) for _ in range(most - 2)]
    return [(False,) * n, (True,) * n, *drawn]


def _names(disk: _Disk, kept: Sequence[bool]) -> dict[str, int]:
    names = dict(disk.synced)
    for change, keep in zip(disk.renames, kept, strict=True):
        if keep:
            _take(change, names)
    return names


def _contents(
    disk: _Disk, table: Sequence[tuple[str, int]], rng: np.random.Generator, most: int
) -> Iterator[dict[str, bytes]]:
    """Yield contents for these names: each unsynced change in one of its versions, in all combinations."""
    numbers = sorted({number for _, number in table})
    choices = [(number, change) for number in numbers for change in disk.files[number].volatile]
    versions = [_versions(change, rng) for _, change in choices]
    total = np.prod([len(version) for version in versions], dtype=float)
    picks: Iterable[tuple[tuple[_Change, ...], ...]] = itertools.product(*versions)
    if total > most:
        drawn = (tuple(v[int(rng.integers(len(v)))] for v in versions) for _ in range(most - 2))
        picks = [tuple(v[0] for v in versions), tuple(v[-1] for v in versions), *drawn]
    for pick in picks:
        files = {number: bytearray(disk.files[number].durable) for number in numbers}
        for (number, _), changes in zip(choices, pick, strict=True):
            for change in changes:
                _put(files[number], change)
        yield {name: bytes(files[number]) for name, number in table}


def _versions(change: _Change, rng: np.random.Generator) -> list[tuple[_Change, ...]]:
    """Return how a change that was not synced may be found: not at all first, whole last."""
    if change.data is None or len(change.data) < 2:
        return [(), (change,)]
    cut = int(rng.integers(1, len(change.data)))
    data, place = change.data, change.place
    first, zeros = data[:cut], bytes(len(data))
    torn = [first, first + zeros[cut:], zeros[:cut] + data[cut:], zeros]
    return [(), *((_Change(place, part),) for part in torn), (change,)]
