"""Run the long column, seed after seed, into a file: `python -m trust.long FILE`.

A long count is many runs with a short one, each with a seed of its own: mutated_files with the seeds 0 to 99
tries ten million files. Every run that has ended is a line of JSON in FILE, with its commit; the same command
goes on with those that are missing. All tests advance alike: what is broken off has tried some of each.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trust.frame import Test, at_least_one
from trust.registry import NAMES, find
from trust.separate import BrokenOff, origin, run_apart, same_sources

__all__ = ["kept", "main", "seeds"]


def main(argv: Sequence[str] | None = None) -> int:
    """Make the runs that are missing and return the exit code: 1 if any run in the file missed a gate."""
    options = _parser().parse_args(argv)
    tests = [find(name) for name in options.only or NAMES]
    done = _done(options.file, options.anew)
    missing = [(test, seed) for test, seed in _in_order(tests) if (test.name, seed, test.at_once) not in done]
    end, here = time.monotonic() + 60 * options.minutes, origin()
    writing = threading.Lock()

    def run(test: Test, seed: int) -> None:
        if time.monotonic() < end:
            found = run_apart(test, test.at_once, seed) | here
            with writing, options.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")

    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(run, *what) for what in missing]
        try:
            for one in runs:
                one.result()
        except (KeyboardInterrupt, BrokenOff):  # what runs has had it, too
            return 130
        finally:
            pool.shutdown(cancel_futures=True)
    results = kept(options.file)
    missed = [f"{r['name']} with the seed {r['seed']}" for r in results if not r["passed"]]
    wanted = sum(len(seeds(find(name))) for name in NAMES)
    print(f"{len(results)} of {wanted} runs are done; missed a gate: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def seeds(test: Test) -> range:
    """Return the seeds with which a test comes to its long count.

    >>> seeds(find("mutated_files"))
    range(0, 100)
    """
    return range(-(-test.long // test.at_once))


def kept(file: Path) -> list[dict[str, Any]]:
    """Return the runs that a file holds, of each seed the last; none where there is no file."""
    if not file.exists():
        return []
    runs = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return list({(run["name"], run["seed"]): run for run in runs}.values())


def _done(file: Path, anew: bool) -> set[tuple[str, int, int]]:
    """Return name, seed and count of the runs that need not be made; anew: only those of these sources."""
    runs = kept(file)
    now = {commit: not anew or same_sources(commit) for commit in {run["commit"] for run in runs}}
    return {(run["name"], run["seed"], run["count"]) for run in runs if now[run["commit"]]}


def _in_order(tests: Sequence[Test]) -> Iterator[tuple[Test, int]]:
    """Yield test and seed of every run, those first that bring a test the smallest part of its way."""
    runs = [(seed / len(seeds(test)), i, seed) for i, test in enumerate(tests) for seed in seeds(test)]
    return ((tests[i], seed) for _, i, seed in sorted(runs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trust.long", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where the runs are kept, a line of JSON for each")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help="this test (repeatable)"
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no other run after so many minutes"
    )
    parser.add_argument(
        "--anew", action="store_true", help="make those again, too, that were made with other sources"
    )
    parser.add_argument(
        "--jobs", type=at_least_one, default=min(2, os.cpu_count() or 1), help="runs at once (default: 2)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
