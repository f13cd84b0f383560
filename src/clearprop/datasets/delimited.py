"""Tables in text: which mark separates the cells, whether there is a header, whether all rows are whole."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from clearprop.cells import number_of
from clearprop.datasets.files import first_bytes, open_binary
from clearprop.errors import FileFormatError, MissingDependencyError

__all__ = ["DECIMAL", "read_header", "read_text", "require_pandas"]

DECIMAL = "decimal"
"""Under this name of `frame.attrs` the frame of a text file says how its decimals may be written."""

_FORMATS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"\x1f\x8b": "a gzip file; end its name in .gz",
}
_HEAD = 1 << 16  # bytes, and lines of them, by which the separator is found
_HEAD_LINES = 50
_LONGEST = 64  # bytes of a cell's beginning that may lie across two parts of a file


def read_text(path: Path, as_text: Collection[str] = (), codes: bool = True) -> Any:
    """Return the pandas frame of a text table.

    as_text: columns to leave as they stand in the file, NaN where a cell is empty; others of nothing but
    numbers or truth values become such. codes: leave those as they stand too where a cell of the file begins
    with a zero, as 007 does. So what a cell means never hangs on the rows beside it.
    Errors: as of `read_table`.
    """
    separator = _separator(path)
    everything = codes and _has_codes(path, separator)
    frame = _parsed(path, separator, {"dtype": object if everything else dict.fromkeys(as_text, object)})
    if frame.shape[1] > 1 and frame.iloc[:, -1].isna().any():  # where a row is short, its last cell is empty
        _check_lengths(path, separator, frame.shape[1])
    frame.attrs[DECIMAL] = "," if separator == ";" else "."
    return frame


def read_header(path: Path) -> list[str]:
    """Return the names of the columns of a text table. Errors: as of `read_table`."""
    return [str(name) for name in _parsed(path, _separator(path), {"nrows": 0}).columns]


def require_pandas() -> Any:
    """Return the module pandas; raise `MissingDependencyError` where it is not installed."""
    try:
        import pandas
    except ImportError:
        raise MissingDependencyError(
            "reading tables needs pandas; install it: pip install 'clearprop[data]'"
        ) from None
    return pandas


def _parsed(path: Path, separator: str, more: dict[str, Any]) -> Any:
    pandas = require_pandas()
    options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "keep_default_na": False}
    # From 3.1 pandas always reads numbers exactly, and warns if asked to.
    if tuple(int(part) for part in pandas.__version__.split(".")[:2]) < (3, 1):
        more = {**more, "float_precision": "round_trip"}
    try:
        with open_binary(path) as file:
            header = pandas.read_csv(file, header=None, nrows=1, dtype=str, **options).iloc[0].tolist()
        _check_header([str(name) for name in header], path)
        with open_binary(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # it would drop a column
            return pandas.read_csv(file, na_values=[""], index_col=False, low_memory=False, **more, **options)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except pandas.errors.EmptyDataError:
        raise FileFormatError(f"{path} is empty") from None
    except pandas.errors.ParserWarning:
        raise FileFormatError(f"{path}: the rows have more cells than the header has names") from None
    except pandas.errors.ParserError as error:
        raise FileFormatError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from None


def _has_codes(path: Path, separator: str) -> bool:
    """Return whether some cell begins with a zero and goes on with a digit."""
    code = re.compile(rb"[%b\"\n\r] *[+-]?0[0-9]" % separator.encode())
    rest = b""
    with open_binary(path) as file:
        while part := file.read(1 << 20):
            if code.search(rest + part):
                return True
            rest = part[-_LONGEST:]
    return False


def _separator(path: Path) -> str:
    head = first_bytes(path, _HEAD)
    for magic, what in _FORMATS.items():
        if head.startswith(magic):
            raise FileFormatError(f"{path} is not a text table: it is {what}")
    if b"\0" in head:
        raise FileFormatError(f"{path} is not a text table: it holds binary data")
    if ".tsv" in path.suffixes[-2:] or ".TSV" in path.suffixes[-2:]:
        return "\t"
    text = head.decode("utf-8-sig", "replace")
    return max((",", ";", "\t"), key=lambda mark: _fit(text, mark, len(head) == _HEAD))


def _fit(text: str, mark: str, cut: bool) -> tuple[int, int]:
    """Return how many of the first lines have as many cells as the header, if more than one, and how many."""
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        lengths = [len(row) for row in itertools.islice(rows, _HEAD_LINES) if row]
    except csv.Error:  # one cell beyond what the module reads
        return 0, 0
    whole = lengths[:-1] if cut and 1 < len(lengths) < _HEAD_LINES else lengths
    if not whole or whole[0] < 2:
        return 0, 0
    return whole.count(whole[0]), whole[0]


def _check_header(names: list[str], path: Path) -> None:
    numbered = names == [str(j) for j in range(len(names))]  # as pandas writes columns without names
    if not numbered and not any(math.isnan(number_of(name)) for name in names):
        raise FileFormatError(f"{path} has no header: its first line is numbers. Put the column names there.")
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise FileFormatError(f"{path} has two columns named {repeated!r}")


def _check_lengths(path: Path, separator: str, columns: int) -> None:
    """Refuse the first row that has fewer cells than the header."""
    with open_binary(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=separator)
        try:
            for row in rows:
                if len(row) < columns and not _blank(row):
                    raise FileFormatError(
                        f"{path}: line {rows.line_num} has {len(row)} cells, the header {columns}. Complete "
                        "the line, or leave it out."
                    )
        except csv.Error as error:
            raise FileFormatError(
                f"{path} cannot be read as a table: line {rows.line_num}: {error}"
            ) from None


def _blank(row: Sequence[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())
