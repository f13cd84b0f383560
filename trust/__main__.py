"""Run the tests, several at once, and print one table: `python -m trust --short` or `--long`.

Each test is a process of its own, so one that crashes the interpreter is a missed gate and no end of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trust.frame import Test, at_least_one
from trust.registry import NAMES, find
from trust.table import print_table

ROOT = Path(__file__).resolve().parent.parent
# A test is one core's work: more threads of BLAS would only get in the way of the test beside it.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "CLEARPROP")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the options ask for and return the exit code: 1 if any gate is missed."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    tests = [find(name) for name in options.only or NAMES]
    if options.list:
        for test in tests:
            print(f"{test.name:<16} {test.claim} ({test.short} {test.unit}; --long: {test.long})")
        return 0
    start = time.perf_counter()
    results = _run_all(tests, options)
    seconds = round(time.perf_counter() - start, 1)
    passed = all(result["passed"] for result in results)
    if options.json:
        print(json.dumps(_report(results, given, seconds, passed), ensure_ascii=False, indent=1))
    else:
        print_table(results)
        missed = [result["name"] for result in results if not result["passed"]]
        verdict = f"missed: {', '.join(missed)}" if missed else "every gate met"
        print(f"\n{verdict}; {seconds} s in all")
    return 0 if passed else 1


def _run_all(tests: Sequence[Test], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every test, the longest first, and return the results in the order of `tests`."""
    order = sorted(tests, key=lambda test: -test.minutes)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = {test.name: pool.submit(_run_one, test, options) for test in order}
        try:
            return [runs[test.name].result() for test in tests]
        except KeyboardInterrupt:  # the processes have had it, too
            pool.shutdown(cancel_futures=True)
            raise SystemExit(130) from None


def _run_one(test: Test, options: argparse.Namespace) -> dict[str, Any]:
    count = options.count or (test.long if options.long else test.short)
    arguments = [f"trust.{test.name}", "--seed", str(options.seed), "--count", str(count), "--json"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
    )
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        result = _crashed(test, count, options.seed, time.perf_counter() - start, done)
    print(
        f"{test.name}: {'ok' if result['passed'] else 'MISSED'}, {result['seconds']} s",
        file=sys.stderr,
        flush=True,
    )
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


def _report(
    results: list[dict[str, Any]], given: Sequence[str], seconds: float, passed: bool
) -> dict[str, Any]:
    """Return the whole run as plain data, with the machine and the commit that the figures hold for."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "command": shlex.join(["python", "-m", "trust", *given]),
        "commit": commit.stdout.strip() or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "seconds": seconds,
        "passed": passed,
        "results": results,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trust",
        description="Try to break clearprop: run every test, and print its figures beside their gates.",
        epilog="The exit code is 1 if any gate is missed. docs/trust.md describes the tests.",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="the counts of CI (this is the default)")
    length.add_argument("--long", action="store_true", help="the counts before a release: hours")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help="this test (repeatable)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases (default: 0)")
    parser.add_argument("--count", type=at_least_one, help="this count for every test that is run")
    parser.add_argument(
        "--jobs", type=at_least_one, default=min(2, os.cpu_count() or 1), help="tests at once (default: 2)"
    )
    parser.add_argument("--json", action="store_true", help="print the whole run as one JSON object")
    parser.add_argument("--list", action="store_true", help="print the tests and run none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
