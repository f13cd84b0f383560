"""The compiled part of clearprop, if this installation has one, and how it is to be used: docs/native.md."""

from __future__ import annotations

import importlib
import os
from typing import Any

from clearprop.errors import OptionError, one_of

__all__ = ["instruction_set", "missing", "native", "threads"]

_MOST_THREADS = 1024


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

    Errors: `OptionError` unless the variable is a whole number from 1 to 1024.
    """
    wanted = os.environ.get("CLEARPROP_NUM_THREADS", "")
    if not wanted:
        return int(native.available_processors())
    if not (wanted.isdecimal() and len(wanted) < 10 and 1 <= int(wanted) <= _MOST_THREADS):
        raise OptionError(
            f"CLEARPROP_NUM_THREADS must be a whole number from 1 to {_MOST_THREADS}. Got {wanted!r}."
        )
    return int(wanted)
