"""Calls start … stop - 1 of a seed, in this process, one line of JSON each: `trust.hostile` starts it.

python -m trust.hostile_child SEED START STOP [FOLDER]
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import tempfile
from typing import Any

import numpy as np  # noqa: F401  (before the limit: a library of mathematics reserves memory when loaded)

MEMORY = 4 << 30
"""Bytes beyond those of the process as it starts: a sanitizer alone reserves thousands of times as many."""
SECONDS = 1200


def main(seed: int, start: int, stop: int, folder: str) -> None:
    """Make the calls, with limits and without a network, in a folder of their own."""
    sys.path.insert(0, os.getcwd())
    os.environ["MPLBACKEND"] = "Agg"
    for name in ("HOME", "XDG_CACHE_HOME", "CLEARPROP_DATA"):
        os.environ[name] = folder
    from trust.hostile import BROKEN_OFF
    from trust.hostile_calls import as_data, call

    out = os.fdopen(os.dup(1), "w")
    os.chdir(folder)
    most = _reserved() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    socket.socket.connect = _refuse  # type: ignore[method-assign]
    socket.getaddrinfo = _refuse
    for number in range(start, stop):
        made = call(seed, number)
        print(json.dumps(as_data(made)), file=out, flush=True)
        if made.verdict in BROKEN_OFF:
            return


def _reserved() -> int:
    """Return the bytes of addresses that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _refuse(*_: Any, **__: Any) -> Any:
    raise OSError("there is no network here")


if __name__ == "__main__":
    _seed, _start, _stop = map(int, sys.argv[1:4])
    main(_seed, _start, _stop, sys.argv[4] if len(sys.argv) > 4 else tempfile.mkdtemp())
