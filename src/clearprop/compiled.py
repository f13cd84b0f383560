"""The compiled part of clearprop, if this installation has one, and how it is to be used: docs/native.md."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from clearprop.errors import OptionError, one_of

__all__ = ["at_most_threads", "instruction_set", "missing", "native", "processors", "threads"]

_MOST_THREADS = 1024
_limit: ContextVar[int] = ContextVar("clearprop threads", default=_MOST_THREADS)


def _extension() -> tuple[Any, str]:
    """Return the extension module and "", or None and why there is none."""
    try:
        return importlib.import_module("clearprop._native"), ""
    except ModuleNotFoundError as error:
        if error.name != "clearprop._native":
            return None, f"it cannot be loaded ({error})"
        return None, "it was installed without a C++ compiler, or with CLEARPROP_NATIVE=0"
    except ImportError as error:
        return None, f"it cannot be loaded ({error})"


native, _why = _extension()


def missing() -> str | None:
    """Return one sentence on why there is no native rung and how to get it; None where there is one."""
    if native is not None:
        return None
    return (
        f"the native rung is not part of this installation: {_why}. Install g++ or clang, and in a clone of "
        "clearprop run: CLEARPROP_NATIVE=1 pip install -v ."
    )


def instruction_set() -> str:
    """Return the instruction set of the kernels: the best of this processor, or what CLEARPROP_ISA says.

    Errors: `OptionError` for one that this processor or this build does not have.
    """
    known = native.instruction_sets()
    wanted = os.environ.get("CLEARPROP_ISA", "")
    if not wanted:
        return str(known[0])
    if wanted not in known:
        raise OptionError(f"CLEARPROP_ISA is {wanted!r}; this processor and build have {one_of(known)}.")
    return wanted


def threads() -> int:
    """Return how many threads may work: CLEARPROP_NUM_THREADS, or the processors this process may use.

    Within `at_most_threads` no more than that.
    Errors: `OptionError` unless the variable is a whole number from 1 to 1024.
    """
    return min(_wanted_threads(), _limit.get())


@contextmanager
def at_most_threads(count: int) -> Iterator[None]:
    """Let what this thread calls use no more than so many threads each; others are not concerned."""
    token = _limit.set(count)
    try:
        yield
    finally:
        _limit.reset(token)


def processors() -> int:
    """Return how many processors this process may use."""
    if native is not None:
        return int(native.available_processors())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wanted_threads() -> int:
    wanted = os.environ.get("CLEARPROP_NUM_THREADS", "")
    if not wanted:
        return processors()
    if not (wanted.isdecimal() and len(wanted) < 10 and 1 <= int(wanted) <= _MOST_THREADS):
        raise OptionError(
            f"CLEARPROP_NUM_THREADS must be a whole number from 1 to {_MOST_THREADS}. Got {wanted!r}."
        )
    return int(wanted)
