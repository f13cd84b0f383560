"""A run of a test in a process of its own: one that crashes the interpreter misses a gate, and no more."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trust.frame import Test

__all__ = ["BrokenOff", "origin", "run_apart", "same_sources"]

ROOT = Path(__file__).resolve().parent.parent
# A test is one core's work: more threads of BLAS would only get in the way of the test beside it.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "CLEARPROP")}


SOURCES = ("src", "native", "trust", "tests", "benchmarks/planted_bugs")
"""What figures are a function of."""
_STOPPED = (130, -signal.SIGINT, -signal.SIGTERM)


class BrokenOff(Exception):
    """Somebody has stopped the test: nothing was found, neither good nor bad."""


def run_apart(test: Test, count: int, seed: int) -> dict[str, Any]:
    """Run a test and return what `trust.frame.measured` does; its name and verdict go to standard error.

    Errors: `BrokenOff` where the test was stopped, by Ctrl-C or a signal.
    """
    arguments = [f"trust.{test.name}", "--seed", str(seed), "--count", str(count), "--json"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    if done.returncode in _STOPPED:
        raise BrokenOff(f"{test.name} with the seed {seed} was stopped")
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        result = _crashed(test, count, seed, time.perf_counter() - start, done)
    verdict = "ok" if result["passed"] else "MISSED"
    print(f"{test.name}: {verdict}, {result['seconds']} s", file=sys.stderr, flush=True)
    return result


def _crashed(
    test: Test, count: int, seed: int, seconds: float, done: subprocess.CompletedProcess[str]
) -> dict[str, Any]:
    """Return the result of a test that ended without one."""
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it printed nothing"]
    return {
        "name": test.name,
        "claim": test.claim,
        "unit": test.unit,
        "count": count,
        "done": 0,
        "seed": seed,
        "command": f"python -m trust.{test.name} --seed {seed} --count {count}",
        "seconds": round(seconds, 2),
        "passed": False,
        "figures": [],
        "failures": [f"it ended with the exit code {done.returncode} and no result: {last[0]}"],
        "failures_left_out": 0,
    }


def origin() -> dict[str, str]:
    """Return the commit, the day, the machine and the Python that figures hold for, before they are made."""
    commit = _git("rev-parse", "--short", "HEAD").stdout.strip() or "unknown"
    changed = _git("status", "--porcelain", "--", *SOURCES).stdout.strip()
    return {
        "commit": f"{commit}-dirty" if changed else commit,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def same_sources(commit: str) -> bool:
    """Return whether what figures are a function of is now what it was at a commit."""
    return _git("diff", "--quiet", commit, "--", *SOURCES).returncode == 0


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
