"""Watch what code does while it reads a file: what it opens, imports or runs, its time and its memory."""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from trust.shim import Heap, heap

__all__ = ["Cost", "Forbidden", "cost_of", "only_reading"]

_HARMLESS = ("object.__getattr__", "sys._getframe", "builtins.id", "gc.")
"""Beginnings of audit events that reach nothing outside; every other one is forbidden."""


class Forbidden(BaseException):
    """Code did what reading a file must never do; no `except Exception` in its way hides it."""


class _Watch:
    """What the hook allows now; a hook cannot be taken away, so there is one for the process."""

    path: str | None = None
    seen: str = ""
    installed: bool = False


@contextmanager
def only_reading(path: Path) -> Iterator[None]:
    """Forbid everything that Python audits, but for opening this one file to read.

    Errors: `Forbidden`, also where what was done has been swallowed on its way.
    """
    if not _Watch.installed:
        sys.addaudithook(_hook)
        _Watch.installed = True
    _Watch.path, _Watch.seen = os.fspath(path), ""
    try:
        yield
    finally:
        _Watch.path = None
        if _Watch.seen:  # whatever else was raised since: it must not hide this
            raise Forbidden(_Watch.seen) from None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.path is None or event.startswith(_HARMLESS):
        return
    if event == "open" and _is_reading(arguments, _Watch.path):
        return
    path, _Watch.path = _Watch.path, None  # what is printed of the arguments may raise events of its own
    _Watch.seen = f"{event} {arguments!r}"[:200]
    _Watch.path = path
    raise Forbidden(_Watch.seen)


def _is_reading(arguments: tuple[Any, ...], path: str) -> bool:
    file, mode, flags = arguments
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    return str(file) == path and (mode is None or "r" in mode) and not flags & writes


class Cost(NamedTuple):
    """Seconds of processor time of this thread, and the most bytes that were held at once."""

    seconds: float
    bytes: int


def cost_of(work: Callable[[], object], most: Cost, tries: int = 4) -> Cost:
    """Return what work costs; where that is more than `most`, the least of several tries.

    Processor time, not that of the clock: beside other programs the work waits. The first try also pays for
    what is kept from then on.
    """
    least = Cost(float("inf"), sys.maxsize)
    for _ in range(tries):
        found = _measured(work)
        least = Cost(min(least.seconds, found.seconds), min(least.bytes, found.bytes))
        if least.seconds <= most.seconds and least.bytes <= most.bytes:
            break
    return least


def _measured(work: Callable[[], object]) -> Cost:
    counter = heap()
    return _traced(work) if counter is None else _counted(work, counter)


def _counted(work: Callable[[], object], counter: Heap) -> Cost:
    gc.disable()  # what it frees was not asked for here, and would hide what was
    try:
        counter.count()
        start = time.thread_time()
        try:
            work()
        finally:
            seconds, most = time.thread_time() - start, counter.peak()
        return Cost(seconds, most)
    finally:
        gc.enable()


def _traced(work: Callable[[], object]) -> Cost:
    tracemalloc.start()
    try:
        start = time.thread_time()
        work()
        return Cost(time.thread_time() - start, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
