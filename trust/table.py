"""The table of figures with their gates: with rich where it is installed, else as plain columns."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["print_table"]

_HEADER = ("test", "figure", "value", "gate", "", "seconds")


def print_table(results: Sequence[Mapping[str, Any]]) -> None:
    """Print what `measured` returned, one row for each figure, and below it every failure."""
    rows = [row for result in results for row in _rows(result)]
    if importlib.util.find_spec("rich") is None:
        _print_plain(rows)
    else:
        _print_rich(rows)
    for result in results:
        _print_failures(result)


def _rows(result: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    name, seconds = result["name"], f"{result['seconds']:.1f}"
    counted = f"{_spaced(result['done'])} {result['unit']}"
    for i, figure in enumerate(result["figures"]):
        first = (name, "", seconds) if i == 0 else ("", "", "")
        value = f"{_spaced(figure['value'])} {figure['unit']}".strip()
        verdict = "" if not figure["gate"] else "ok" if figure["passed"] else "MISSED"
        yield first[0], figure["what"], value, figure["gate"], verdict, first[2]
    verdict = "ok" if result["passed"] else "MISSED"
    yield ("" if result["figures"] else name), f"of {counted}, seed {result['seed']}", "", "", verdict, ""


def _spaced(value: float) -> str:
    if value is None:
        return "none"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.4g}"


def _print_rich(rows: Sequence[tuple[str, ...]]) -> None:
    table = importlib.import_module("rich.table").Table(show_edge=False)
    for i, title in enumerate(_HEADER):
        table.add_column(title, justify="right" if i in (2, 5) else "left", overflow="fold")
    for row in rows:
        text = importlib.import_module("rich.text").Text
        style = {"ok": "green", "MISSED": "bold red"}.get(row[4], "")
        table.add_row(*row[:4], text(row[4], style), row[5], end_section=not row[2])
    importlib.import_module("rich.console").Console(markup=False, highlight=False).print(table)


def _print_plain(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in (_HEADER, *rows)) for i in range(len(_HEADER))]
    for row in (_HEADER, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_failures(result: Mapping[str, Any]) -> None:
    for failure in result["failures"]:
        print(f"{result['name']}: {failure}")
    if result["failures_left_out"]:
        print(f"{result['name']}: and {result['failures_left_out']} more")
    if not result["passed"]:
        print(f"{result['name']}: to see it again: {result['command']}")
