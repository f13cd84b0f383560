"""Put the figures of the long runs into docs/trust.md: `python -m trust.page FILE`.

The file is the one that `python -m trust.long FILE` keeps. What stands between the two marks of the page is
replaced; everything else stays.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearprop.io import replace_text
from trust.frame import Test, number
from trust.long import kept, seeds
from trust.registry import NAMES, find

__all__ = ["figures", "main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "trust.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the page with the figures of the runs in a file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trust.page", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="what python -m trust.long keeps")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page (default: docs/trust.md)")
    options = parser.parse_args(argv)
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"{options.page} has not the marks {BEGIN} and {END}.", file=sys.stderr)
        return 1
    runs = kept(options.runs)
    if not runs:
        print(f"{options.runs} holds no run.", file=sys.stderr)
        return 1
    text = f"{before}{BEGIN}\n\n{figures(runs)}\n\n{END}{after}"
    replace_text(options.page, text, overwrite=True)
    print(f"wrote {options.page}")
    return 0


def figures(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of these runs: where they come from, and a row for each figure of each test."""
    by_test = {name: [run for run in runs if run["name"] == name] for name in NAMES}
    wanted = {name: len(seeds(find(name))) for name in NAMES}
    whole = sum(len(found) == wanted[name] for name, found in by_test.items())
    hours = sum(run["seconds"] for run in runs) / 3600
    state = "The long run is whole" if whole == len(NAMES) else f"{whole} of {len(NAMES)} tests are whole"
    verdict = "every gate is met" if all(run["passed"] for run in runs) else "not every gate is met"
    machines = sorted({f"{run['machine']}, Python {run['python']}" for run in runs})
    lines = [
        f"{state}; {verdict}. The runs took {number(round(hours, 1))} hours, those at the same time counted "
        f"apart, on {'; '.join(machines)}. A figure is the least and the most of all runs of a test.",
        "",
        "| test | figure | in each run | gate | |",
        "|---|---|---|---|---|",
    ]
    for name, found in by_test.items():
        lines += _rows(find(name), wanted[name], found)
    return "\n".join(lines)


def _rows(test: Test, wanted: int, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    done, missed = sum(run["done"] for run in runs), sum(not run["passed"] for run in runs)
    made = f"{number(done)} {test.unit} in {len(runs)} of {wanted} run{'' if wanted == 1 else 's'}"
    verdict = f"missed in {missed}" if missed else "met" if runs else "not begun"
    yield f"| `{test.name}` | **{made}**{_origin(runs)} | | | {verdict} |"
    every = [figure for run in runs for figure in run["figures"]]
    for what, figure in {figure["what"]: figure for figure in every}.items():
        values = [other["value"] for other in every if other["what"] == what]
        least, most = number(min(values)), number(max(values))
        value = f"{least if least == most else f'{least} to {most}'} {figure['unit']}".strip()
        yield f"| | {figure['what']} | {value} | {figure['gate']} | |"
    for run in runs:
        yield from (f"| | seed {run['seed']}: {failure} | | | missed |" for failure in run["failures"])


def _origin(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the seeds and the commits of runs in words."""
    if not runs:
        return ""
    drawn = sorted(run["seed"] for run in runs)
    which = f"seed {drawn[0]}" if len(drawn) == 1 else f"seeds {drawn[0]} to {drawn[-1]}"
    commits = dict.fromkeys(run["commit"] for run in runs)
    return f", {which}, at {', '.join(commits)}"


if __name__ == "__main__":
    sys.exit(main())
