"""How many threads the BLAS takes: one, unless asked otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from clearprop.errors import MissingDependencyError
from clearprop.ladder import machine

__all__ = ["blas_threads", "threads_sentence"]

# The matrices of small networks keep one core busy for microseconds. Handing them to several threads gains
# little on an idle machine, and on a busy one the threads wait for each other: measured, fifty times slower.
_DEFAULT = 1


@contextmanager
def blas_threads(threads: int | None) -> Iterator[None]:
    """Run with so many BLAS threads; None: one, unless a variable of the environment says how many.

    Needs threadpoolctl, of the extra "cli"; without it the BLAS keeps its own number, and asking for
    one raises `MissingDependencyError`.
    """
    if threads is None and machine().variables:
        yield
        return
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError:
        if threads is not None:
            raise MissingDependencyError(
                "--threads needs threadpoolctl, which is not installed; install it: "
                'pip install "clearprop[cli]", or set OPENBLAS_NUM_THREADS.'
            ) from None
        yield
        return
    with threadpool_limits(limits=_DEFAULT if threads is None else threads, user_api="blas"):
        yield


def threads_sentence() -> str:
    """Return the number of BLAS threads and of processors in words: "1 BLAS thread of 2 CPUs"."""
    found = machine()
    count = found.blas_threads if found.blas_threads is not None else "an unknown number of"
    return f"{count} BLAS thread{'' if count == 1 else 's'} on {found.cpus or os.cpu_count()} CPUs"
