"""Put the figures of a run into docs/trust.md: `python -m trust.page long.json`.

The file is what `python -m trust --long --json` printed. What stands between the two marks of the page is
replaced; everything else stays.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearprop.io import replace_text
from trust.frame import number
from trust.registry import NAMES, find

__all__ = ["figures", "lacking", "main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "trust.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the page with the figures of a run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trust.page", description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="what python -m trust --long --json printed")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page (default: docs/trust.md)")
    options = parser.parse_args(argv)
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"{options.page} has not the marks {BEGIN} and {END}.", file=sys.stderr)
        return 1
    report = json.loads(options.report.read_text(encoding="utf-8"))
    lack = lacking(report)
    if lack:
        print(f"{options.report} is no long run: {lack}.", file=sys.stderr)
        return 1
    text = f"{before}{BEGIN}\n\n{figures(report)}\n\n{END}{after}"
    replace_text(options.page, text, overwrite=True)
    print(f"wrote {options.page}")
    return 0


def lacking(report: Mapping[str, Any]) -> str:
    """Return what keeps a report from being that of a long run, in words; "" where nothing does."""
    if "--long" not in shlex.split(report["command"]):
        return f"it was made by {report['command']}"
    counts = {result["name"]: result["count"] for result in report["results"]}
    for name in NAMES:
        if name not in counts:
            return f"the test {name} is not in it"
        if counts[name] < find(name).long:
            return f"{name} has the count {counts[name]}, not {find(name).long}"
    return ""


def figures(report: Mapping[str, Any]) -> str:
    """Return the section of a run: how it was made, and a row for each figure."""
    verdict = "every gate met" if report["passed"] else "not every gate met"
    lines = [
        f"`{report['command']}`, commit {report['commit']}, {report['date']}, {report['machine']}, Python "
        f"{report['python']}: {verdict} in {number(round(report['seconds'] / 60, 1))} minutes.",
        "",
        "| test | figure | value | gate | |",
        "|---|---|---|---|---|",
    ]
    for result in report["results"]:
        counted = f"{number(result['done'])} {result['unit']}, seed {result['seed']}"
        lines.append(f"| `{result['name']}` | {counted}, in s | {result['seconds']:.0f} | | |")
        lines += [_row(result["name"], figure) for figure in result["figures"]]
        lines += [f"| `{result['name']}` | {failure} | | | missed |" for failure in result["failures"]]
    return "\n".join(lines)


def _row(name: str, figure: Mapping[str, Any]) -> str:
    value = f"{number(figure['value'])} {figure['unit']}".strip()
    verdict = "" if not figure["gate"] else "met" if figure["passed"] else "missed"
    return f"| `{name}` | {figure['what']} | {value} | {figure['gate']} | {verdict} |"


if __name__ == "__main__":
    sys.exit(main())
