"""What the commands print: results, or one JSON object, on standard output, progress on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from clearprop.arrays import Array
from clearprop.errors import UnwritableFileError
from clearprop.report import most_frequent_mistakes

__all__ = ["Output", "confusion_lines", "pairs", "plain", "table", "writing_results"]

_MOST_CLASSES = 20


class Output:
    """Where a command writes.

    Parameters: `as_json`, one JSON object in place of text; `quiet`, no progress.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):  # a replaced stream may lack it
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a name may be in any script
        self.as_json = as_json
        self.quiet = quiet
        self.console = Console(markup=False, emoji=False, highlight=False)
        self.progress = Console(stderr=True, markup=False, emoji=False, highlight=False, quiet=quiet)

    def note(self, text: str) -> None:
        """Print a line of progress on standard error."""
        self.progress.print(text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line on standard error, also where no progress is wanted."""
        print(f"clearprop: {text}", file=sys.stderr)

    def say(self, line: str | Text = "") -> None:
        """Print a line of the result, unless JSON is wanted."""
        if not self.as_json:
            with writing_results():
                self.console.print(line, soft_wrap=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result as one JSON object, if that is wanted."""
        if self.as_json:
            with writing_results():
                sys.stdout.write(json.dumps(plain(result), allow_nan=False, ensure_ascii=False) + "\n")
                sys.stdout.flush()

    def note_pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print labels and texts as progress, wrapped where a terminal would break words."""
        for line in pairs(rows, self.progress.width if self.progress.is_terminal else None):
            self.note(line)

    def say_pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print labels and texts as part of the result, wrapped where a terminal would break words."""
        for line in pairs(rows, self.console.width if self.console.is_terminal else None):
            self.say(line)

    @property
    def width(self) -> int:
        """Columns of the terminal, 80 where there is none."""
        return self.console.width


@contextlib.contextmanager
def writing_results() -> Iterator[None]:
    """Turn a failure to write to standard output, such as a full disk, into `UnwritableFileError`."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # what is still in the buffer would fail again at exit
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise UnwritableFileError(f"standard output could not be written ({error.strerror}).") from None


def plain(value: Any) -> Any:
    """Return a value as what JSON can hold: arrays as lists, NaN and infinities as None.

    >>> plain({"cost": np.float32(0.5), "worst": float("inf"), "shape": (2, 3)})
    {'cost': 0.5, 'worst': None, 'shape': [2, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Return rows, the first being the header, as lines of aligned columns.

    >>> table([("name", "n"), ("a", "10")], right=(False, True))
    ['name   n', 'a     10']
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(right))]
    return [
        "  ".join(
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def pairs(rows: Sequence[tuple[str, str]], width: int | None = None) -> list[str]:
    """Return label and text of each row as two columns, the text wrapped to a terminal of this width.

    >>> pairs([("cost", "quadratic"), ("dtype", "float32, twice as fast")], width=20)
    ['cost   quadratic', 'dtype  float32,', '       twice as fast']
    """
    label_width = max(len(label) for label, _ in rows)
    lines = []
    for label, text in rows:
        room = max(20, width - 1) if width is not None else 10**9
        first, rest = f"{label.ljust(label_width)}  ", " " * (label_width + 2)
        lines += textwrap.wrap(
            text,
            room,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]
    return lines


def confusion_lines(counts: Array, names: Sequence[str], width: int) -> list[Text]:
    """Return the confusion matrix as lines: rows true, columns predicted, the share of each row right.

    Where it is too wide, or has more than 20 classes, the most frequent mistakes instead.
    """
    label = min(max(len("true"), *(len(name) for name in names)), 14)
    cell = max(3, *(len(str(count)) for count in counts.flat))
    room = (width - label - 10) // len(names) - 1
    if room < cell or len(names) > _MOST_CLASSES:
        return _mistake_lines(counts, names)
    cell = min(room, max(cell, *(len(name) for name in names)))
    head = f"{'true'.ljust(label)} {''.join(' ' + name[:cell].rjust(cell) for name in names)}    right"
    lines = [
        Text("confusion: rows are true classes, columns predicted ones", style="bold"),
        Text(head.rstrip(), style="dim"),
    ]
    for t, (name, row) in enumerate(zip(names, counts, strict=True)):
        line = Text(name[:label].ljust(label) + " ", style="")
        for p, count in enumerate(row):
            style = "green" if t == p else "bold red" if count else "dim"
            line.append(" " + (str(count) if count else ".").rjust(cell), style)
        total = int(row.sum())
        line.append(f"  {row[t] / total:7.1%}" if total else "        -")
        lines.append(line)
    return lines


def _mistake_lines(counts: Array, names: Sequence[str]) -> list[Text]:
    found = most_frequent_mistakes(counts)
    if not found:
        return [Text(f"no mistakes in {len(names)} classes")]
    lines = [Text(f"most frequent mistakes of {len(names)} classes", style="bold")]
    return lines + [Text(f"{m.times:6}  {names[m.true]} taken for {names[m.predicted]}") for m in found]
