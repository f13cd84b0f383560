"""Steer `shim.c`: a Python process in which a call on files fails, or in which they are recorded.

A test calls `under_shim("trust.power_loss", "inside", …)`: that function runs in a process of its own, where
`armed` counts, records and breaks the calls of the thread that entered it.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FOR_GOOD",
    "HALF",
    "ONCE",
    "Armed",
    "Call",
    "armed",
    "available",
    "environment",
    "heap",
    "stop_before",
    "under_shim",
]

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(__file__).with_name("shim.c")

ONCE, FOR_GOOD, HALF = 0, 1, 2
"""How a call fails: alone; it and every later one; or not at all, but a write takes half of what is given."""


class Call(NamedTuple):
    """A recorded call that succeeded: its name, descriptor, number (flags, length, place), path and bytes."""

    name: str
    fd: int
    number: int
    path: str
    data: bytes


class Armed:
    """What was seen while calls were counted; complete after the `with` block."""

    calls: int = 0
    failed: str = ""
    """The name of the first call that failed, or ""."""
    recorded: tuple[Call, ...] = ()


@contextmanager
def armed(
    nth: int = 0, error: int = 0, mode: int = ONCE, *, room: int = -1, record: bool = False
) -> Iterator[Armed]:
    """Count this thread's calls on files; let number `nth` fail with `error`.

    room: bytes that can still be written before the disk is full; -1 for no bound.
    record: whether calls that change something are recorded.
    """
    library, seen = _library(), Armed()
    library.shim_arm(nth, error, mode, room, int(record))
    try:
        yield seen
    finally:
        seen.calls = library.shim_disarm()
        seen.failed = library.shim_failed().decode()
        if record:
            seen.recorded = tuple(_calls(library))


def stop_before(change: int, folder: Path) -> None:
    """Let this process stop itself (SIGSTOP) just before its nth change of something in a folder."""
    _library().shim_stop(os.fsencode(folder), change)


class Heap:
    """The memory that this thread holds, of the C library's heap."""

    def __init__(self, library: Any) -> None:
        self.count = library.shim_heap_count
        """Count from now on."""
        self.peak = library.shim_heap_peak
        """Stop, and return the most bytes that were held at once, beyond those from before."""
        self.peak.restype = ctypes.c_long


@cache
def heap() -> Heap | None:
    """Return what counts memory; None where nothing does: without the shim, or behind a sanitizer's heap."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "shim_heap_count"):
        return None
    found, size = Heap(library), 1 << 20
    found.count()
    bytearray(size)
    return found if found.peak() >= size else None


@cache
def _library() -> Any:
    library = ctypes.CDLL(None)
    if not hasattr(library, "shim_arm"):
        raise RuntimeError("trust/shim.c stands not before the C library here. Call this through under_shim.")
    library.shim_arm.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    library.shim_stop.argtypes = [ctypes.c_char_p, ctypes.c_long]
    library.shim_disarm.restype = library.shim_entries_size.restype = ctypes.c_long
    library.shim_failed.restype = ctypes.c_char_p
    library.shim_entries.restype = ctypes.c_void_p
    return library


def _calls(library: Any) -> Iterator[Call]:
    size = library.shim_entries_size()
    rest = ctypes.string_at(library.shim_entries(), size) if size else b""
    while rest:
        head, _, rest = rest.partition(b"\n")
        name, fd, number, first, second = head.split()
        one, two = int(first), int(second)
        yield Call(name.decode(), int(fd), int(number), os.fsdecode(rest[:one]), rest[one : one + two])
        rest = rest[one + two :]


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """Yield the environment of a process that has the shim, compiled for this purpose.

    What is loaded before already stays, and comes first: a sanitizer's runtime must. That has a heap of its
    own, so memory is not counted then.
    """
    compiler = _compiler()
    if compiler is None:
        raise SystemExit("trust needs Linux and a C compiler (cc) for its tests of failing calls.")
    before = os.environ.get("LD_PRELOAD", "")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "shim.so")
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
        counts = [] if before else ["-DCOUNT_HEAP"]
        subprocess.run([compiler, *flags, *counts, str(SOURCE), "-ldl"], check=True)
        variables = {**os.environ, "LD_PRELOAD": f"{before} {library}".strip()}
        if not before:  # Python asks the C library for each object, so that it is counted as it is asked for
            variables["PYTHONMALLOC"] = "malloc"
        yield variables


def available() -> bool:
    """Return whether the shim can be compiled and loaded here."""
    return _compiler() is not None


def _compiler() -> str | None:
    """Return the path of a C compiler; None where there is none, or no Linux."""
    if sys.platform != "linux":
        return None
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def under_shim(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module in a process with the shim; arguments and answer are plain data.

    Errors: `RuntimeError` with what the process said, if it ends without an answer.
    """
    what = json.dumps([module, function, arguments])
    with environment() as variables:
        done = subprocess.run(
            [sys.executable, "-m", "trust.shim", what],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{module}.{function} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def _inside(what: str) -> None:
    module, function, arguments = json.loads(what)
    print(json.dumps(getattr(importlib.import_module(module), function)(*arguments)))


if __name__ == "__main__":
    # Not from here: this module is `__main__`, and the tests use the one that is called trust.shim.
    importlib.import_module("trust.shim")._inside(sys.argv[1])
