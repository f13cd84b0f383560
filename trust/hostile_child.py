"""Calls start … stop - 1 of a seed, one line of JSON each: `trust.hostile` starts it.

python -m trust.hostile_child SEED START STOP

The calls are made by forks of this process, with limits, without a network, in a folder of their own. Where
a call has crashed or was broken off, another fork goes on with the next.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np  # noqa: F401  (before the limit: a library of mathematics reserves memory when loaded)

__all__ = ["answer"]

MEMORY = 4 << 30
"""Bytes beyond those of the process as it starts: a sanitizer alone reserves thousands of times as many."""
SECONDS = 1200
LONGEST = 60
"""Seconds by the clock after which a call that takes no processor time ends its fork, as a crash does."""
AT_ONCE = 400
"""Calls of one fork; what one call leaves behind meets only the rest of these."""
BROKEN_OFF = ("time", "memory")
"""After such a call its fork ends: what was being imported then would be there by half."""
WARM = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "sklearn.base",
    "scipy.sparse",
    "pandas",
    "torch",
)
"""What calls need besides clearprop, where it is installed: imported once, and not by every fork."""

Make = Callable[[int], Any]


def answer(make: Make, start: int, stop: int, out: TextIO) -> None:
    """Write what came of the calls start … stop - 1, a line for each."""
    with mmap.mmap(-1, 8) as shared:  # the number of the next call, which outlives a crash
        number = start
        while number < stop:
            last = min(stop, number + AT_ONCE)
            shared[:] = number.to_bytes(8, "little")
            status = _in_a_fork(make, last, out, shared)
            number = int.from_bytes(shared[:], "little")
            if status != 0:
                said = f"the process ended with the exit code {status}"
                crash = {"number": number, "what": "call", "verdict": "crash", "said": said, "where": ""}
                print(json.dumps(crash), file=out, flush=True)
                number += 1


def _in_a_fork(make: Make, stop: int, out: TextIO, shared: mmap.mmap) -> int:
    """Make calls from the shared number on, in a fork of this process; return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 1
        try:
            for name in ("HOME", "XDG_CACHE_HOME", "CLEARPROP_DATA"):
                os.environ[name] = folder
            os.chdir(folder)
            _make_all(make, stop, out, shared)
            code = 0
        finally:
            os._exit(code)


def _make_all(make: Make, stop: int, out: TextIO, shared: mmap.mmap) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number in range(int.from_bytes(shared[:], "little"), stop):
        signal.alarm(LONGEST)
        made = make(number)
        print(json.dumps(made), file=out, flush=True)
        shared[:] = (number + 1).to_bytes(8, "little")
        if made["verdict"] in BROKEN_OFF:
            return


def _limit() -> None:
    """Bound memory, time and files of this process and its forks, and take the network away."""
    most = _reserved() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    socket.getaddrinfo = _refuse


def _reserved() -> int:
    """Return the bytes of addresses that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _refuse(*_: Any, **__: Any) -> Any:
    raise OSError("there is no network here")


def main(seed: int, start: int, stop: int) -> None:
    """Make the calls and print what came of them."""
    sys.path.insert(0, os.getcwd())
    os.environ["MPLBACKEND"] = "Agg"
    from trust.hostile_calls import as_data, call, targets

    targets()
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    out = os.fdopen(os.dup(1), "w")
    _limit()
    answer(lambda number: as_data(call(seed, number)), start, stop, out)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(*map(int, sys.argv[1:4]))
