"""What the bits of a run hold for: engine, precision, processor, build. Elsewhere they may be others."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from clearprop._version import __version__
from clearprop.compiled import native
from clearprop.fitting.environment import environment

__all__ = ["conditions", "conditions_here", "first_other", "with_build"]

_ADVICE = {
    "instruction_set": "Set CLEARPROP_ISA={there}",
    "blas_threads": "Set OPENBLAS_NUM_THREADS as it was then, before Python starts",
    "clearprop": "Install clearprop {there}",
    "numpy": "Install NumPy {there}",
    "build": "Use the build that trained it",
    "blas": "Use a NumPy of that BLAS",
    "blas_kernel": "Use a processor of that kind, or set OPENBLAS_CORETYPE={there} before Python starts",
    "numpy_simd": "Use a processor of that kind",
    "machine": "Use a machine of that kind",
    "engine": "Use that engine",
    "dtype": "Use that dtype",
}

_FIRST = ("engine", "dtype")  # of what differs with these, nothing else is worth a word

_CORE_NAMES = [f"{first}openblas_get_corename{last}" for first in ("scipy_", "") for last in ("64_", "")]
"""What the function is called in the builds of OpenBLAS that NumPy comes with."""


def conditions(found: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """Return what the bits of training depend on besides the run itself, as plain data by name.

    found: what `environment` says of the engine that trains. For "native": version, processor architecture
    and instruction set, at any number of threads (`with_build` adds the build of the compiled part). For the
    rungs on NumPy: version, architecture, NumPy, the instruction sets that it found, its BLAS, the number of
    its threads, and for which processor its kernels are.
    """
    engine = found["engine"]
    known = {"clearprop": __version__, "engine": engine, "dtype": str(dtype), "machine": found["machine"]}
    if engine == "native":
        return {**known, "instruction_set": found["in_use"]}
    of_numpy = {name: found[name] for name in ("numpy", "blas", "blas_threads")}
    return {**known, **of_numpy, "blas_kernel": _blas_kernel(), "numpy_simd": _numpy_simd()}


def _numpy_simd() -> str:
    """Return the instruction sets that NumPy chooses its loops by on this processor, or was left with."""
    built: Any = np.show_config(mode="dicts")
    sets = built.get("SIMD Extensions", {})
    return " ".join([*sets.get("baseline", []), *sets.get("found", [])])


@cache
def _blas_kernel() -> str:
    """Return for which processor NumPy's OpenBLAS chose its kernels; "unknown" where that cannot be asked."""
    home = Path(np.__file__).parent
    folders = home.with_name("numpy.libs"), home / ".libs", home / ".dylibs"
    for path in (path for folder in folders for path in sorted(folder.glob("*openblas*"))):
        for name in _CORE_NAMES:
            ask = getattr(_library(path), name, None)
            if ask is not None:
                ask.argtypes, ask.restype = [], ctypes.c_char_p
                return str(ask().decode())
    return "unknown"


def _library(path: Path) -> ctypes.CDLL | None:
    """Return a library that NumPy has loaded; None where it will not be loaded by hand."""
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def conditions_here(engine: str, dtype: Any) -> dict[str, Any]:
    """Return the conditions of an engine in this process as it is now, the build among them."""
    return with_build(conditions(environment(engine), dtype))


def with_build(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return conditions with the build of the compiled part, where it does the work and none is named yet."""
    if known["engine"] != "native" or "build" in known or native is None:
        return dict(known)
    return {**known, "build": _build()}


@cache
def _build() -> str:
    """Return the first 16 digits of the SHA-256 of the compiled part's file."""
    return hashlib.sha256(Path(native.__file__).read_bytes()).hexdigest()[:16]


def first_other(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return one sentence on the first condition that is not as it was, with what to do; None if all are.

    >>> first_other({"instruction_set": "avx512"}, {"instruction_set": "avx2"})
    "its instruction_set was 'avx512', here it is 'avx2'. Set CLEARPROP_ISA=avx512"
    """
    for name in sorted(then, key=lambda name: (name not in _FIRST, name)):
        there = then[name]
        if now.get(name) != there:
            advice = _ADVICE.get(name, "Use that one").format(there=there)
            return f"its {name} was {there!r}, here it is {now.get(name)!r}. {advice}"
    return None
