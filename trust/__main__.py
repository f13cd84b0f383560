"""Run the tests with the counts of CI, several at once, and print one table: `python -m trust --short`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trust.frame import Test, at_least_one
from trust.registry import NAMES, find
from trust.separate import BrokenOff, origin, run_apart
from trust.table import print_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the options ask for and return the exit code: 1 if any gate is missed."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    tests = [find(name) for name in options.only or NAMES]
    if options.list:
        for test in tests:
            print(f"{test.name:<16} {test.claim} ({test.short} {test.unit}; trust.long: {test.long})")
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
        runs = {
            test.name: pool.submit(run_apart, test, options.count or test.short, options.seed)
            for test in order
        }
        try:
            return [runs[test.name].result() for test in tests]
        except (KeyboardInterrupt, BrokenOff):  # the processes have had it, too
            pool.shutdown(cancel_futures=True)
            raise SystemExit(130) from None


def _report(
    results: list[dict[str, Any]], given: Sequence[str], seconds: float, passed: bool
) -> dict[str, Any]:
    """Return the whole run as plain data, with the machine and the commit that the figures hold for."""
    command = shlex.join(["python", "-m", "trust", *given])
    return {"command": command, **origin(), "seconds": seconds, "passed": passed, "results": results}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trust",
        description="Try to break clearprop: run every test, and print its figures beside their gates.",
        epilog="The exit code is 1 if any gate is missed. docs/trust.md describes the tests.",
    )
    parser.add_argument("--short", action="store_true", help="the counts of CI: it is what is done anyway")
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
