"""What a test is, what it returns, and the command that runs one.

A module of this folder states its test and ends with the command:

    TEST = Test("bit_flips", "every single-bit flip of a small file is refused", run, short=1, long=1)

    if __name__ == "__main__":
        sys.exit(command(TEST))
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trust.table import print_table

__all__ = ["Figure", "Result", "Test", "command", "measured"]

_SHOWN = 10


@dataclass(frozen=True)
class Figure:
    """A number that a test found, and its gate: the bounds between which it must lie.

    A figure without bounds is only told. NaN lies between no bounds.

    >>> Figure("accepted", 2, at_most=0).passed, Figure("kills", 50, at_least=50).passed
    (False, True)
    """

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def gate(self) -> str:
        """The bounds in words: "≤ 0", or "" where there are none."""
        if self.at_least is not None and self.at_least == self.at_most:
            return f"= {number(self.at_least)}"
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {number(bound)}" for sign, bound in bounds if bound is not None)

    @property
    def passed(self) -> bool:
        """Whether the value lies within its bounds."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


@dataclass(frozen=True)
class Result:
    """What one run of a test found.

    Parameters: `figures`, at least one of them with a gate; `failures`, one sentence for each case that went
    wrong, saying how to see it again. A failure misses the gate whatever the figures say. `done`, how many of
    the test's units were done, where that may differ from the count asked for; None: as many as were asked.
    """

    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()
    done: int | None = None

    @property
    def passed(self) -> bool:
        """Whether every gate is met; never for a result that has none."""
        gated = any(figure.gate for figure in self.figures)
        return gated and not self.failures and all(figure.passed for figure in self.figures)


@dataclass(frozen=True)
class Test:
    """A test: its name (that of its module), its claim, `run(count, seed)`, and two counts.

    Parameters: `short`, the count for CI; `long`, that before a release; `unit`, what is counted.
    `minutes`, of the short form on one core: the runner begins with the longest. `piece`, the count of one of
    the runs that the long form is made of; None: the short count.
    """

    __test__ = False  # pytest takes every class called Test… for its own

    name: str
    claim: str
    run: Callable[[int, int], Result]
    short: int
    long: int
    unit: str = "cases"
    minutes: float = 0.1
    piece: int | None = None

    @property
    def at_once(self) -> int:
        """The count of one run of the long form."""
        return self.short if self.piece is None else self.piece


def measured(test: Test, count: int, seed: int) -> dict[str, Any]:
    """Run a test and return what `--json` prints: its result as plain data, with the time that it took."""
    start = time.perf_counter()
    result = test.run(count, seed)
    return {
        "name": test.name,
        "claim": test.claim,
        "unit": test.unit,
        "count": count,
        "done": count if result.done is None else result.done,
        "seed": seed,
        "command": f"python -m trust.{test.name} --seed {seed} --count {count}",
        "seconds": round(time.perf_counter() - start, 2),
        "passed": result.passed,
        "figures": [
            {"what": f.what, "value": f.value, "unit": f.unit, "gate": f.gate, "passed": f.passed}
            for f in result.figures
        ],
        "failures": list(result.failures[:_SHOWN]),
        "failures_left_out": max(0, len(result.failures) - _SHOWN),
    }


def command(test: Test, argv: Sequence[str] | None = None) -> int:
    """Run one test as a command and return its exit code: 1 if a gate is missed."""
    options = _parser(test).parse_args(argv)
    count = test.short if options.count is None else options.count
    try:
        found = measured(test, count, options.seed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print_table([found])
    return 0 if found["passed"] else 1


def number(value: float) -> str:
    """Return a number as a table shows it.

    >>> number(100000), number(0.98765), number(12.0)
    ('100 000', '0.9877', '12')
    """
    if value == int(value):
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.4g}"


def at_least_one(text: str) -> int:
    """Return the whole number, at least 1, that an option was given."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Got {value}.")
    return value


def _parser(test: Test) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m trust.{test.name}",
        description=f"Try to refute: {test.claim}.",
        epilog="The exit code is 1 if a gate is missed.",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases (default: 0)")
    parser.add_argument(
        "--count",
        type=at_least_one,
        help=f"how many {test.unit} (default: {test.short})",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser
