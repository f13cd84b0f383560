"""What the bits of a result may depend on besides code and seed: versions, processor, BLAS, threads."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any

import numpy as np

from clearprop.engines.native import system

__all__ = ["THREAD_VARIABLES", "blas_threads", "environment"]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""The variables of the environment that set a number of threads."""


def environment(engine: str) -> dict[str, Any]:
    """Return what the bits of a result may depend on, for the history.

    "blas_threads" is the number in force; where that cannot be asked, the variables that are set.
    """
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    threads = blas_threads()
    variables = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    return {
        "engine": engine,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "blas": f"{blas.get('name', '?')} {blas.get('version', '?')}",
        "blas_threads": variables if threads is None else threads,
        **(system()["native"] or {} if engine == "native" else {}),
    }


def blas_threads() -> int | None:
    """Return how many threads NumPy's BLAS takes now; None where that cannot be asked (no threadpoolctl)."""
    try:
        import threadpoolctl  # type: ignore[import-untyped]
    except ImportError:
        return None
    # SciPy brings a BLAS of its own; NumPy's is the one under numpy.libs, or the only one.
    pools = [pool for pool in _libraries(threadpoolctl).info() if pool.get("user_api") == "blas"]
    ours = [pool for pool in pools if "numpy" in str(pool.get("filepath", ""))] or pools
    return int(ours[0]["num_threads"]) if ours else None


@cache
def _libraries(threadpoolctl: Any) -> Any:
    """Return what asks the libraries that were loaded at first, NumPy's among them: to find them is slow."""
    return threadpoolctl.ThreadpoolController()
