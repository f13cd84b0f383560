"""How each kind of column becomes inputs of a network: frozen descriptions, encoded with NumPy alone.

What is done is what practice has shown to serve multi-layer perceptrons: numbers are centred at the median,
divided by the quartiles' distance and clipped smoothly, and laid out piecewise linearly over quantile bins
besides; categories are one-hot, with rare and missing levels of their own; dates become parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.cells import TRUTH
from clearprop.errors import DataError, DTypeError, FileFormatError, OptionError
from clearprop.tabular.reading import Column, as_levels
from clearprop.tabular.texts import common_form

__all__ = ["Category", "Date", "Description", "Ignored", "Number", "described"]

CLIP = 3.0
"""Where a scaled number is bent: it never leaves (-3, 3)."""

_PERIOD = 10.0  # of the slowest wave: longer than the range of scaled numbers, so that no two look the same

_MOST_WAVES = 1024
_PARTS: dict[str, int] = {"month": 12, "day": 31, "weekday": 7, "hour": 24}


class Description:
    """Base of what says how one column is encoded: `names` of its inputs, `encode`, and `config`."""

    kind: ClassVar[str]
    name: str

    def __post_init__(self) -> None:
        for name, field in type(self).__dataclass_fields__.items():  # type: ignore[attr-defined]
            value = getattr(self, name)
            if str(field.type) != "ClassVar[str]" and not _is(str(field.type), value):
                raise DTypeError(f"{type(self).__name__}: {name} must be {field.type}. Got {value!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each input that the column becomes."""
        raise NotImplementedError

    def encode(self, column: Column, out: Array, where: str) -> None:
        """Write the inputs of all rows into out, (n, number of names)."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the description as plain data: its kind, and what is not its default."""
        found: dict[str, Any] = {"kind": self.kind}
        for name, field in type(self).__dataclass_fields__.items():  # type: ignore[attr-defined]
            value = getattr(self, name)
            if value != field.default:
                found[name] = _plain(value)
        return found


@dataclass(frozen=True)
class Number(Description):
    """A column of numbers (or booleans, as 0 and 1).

    Inputs of a value x, of which a missing one is taken to be `center`:

        z / sqrt(1 + (z/3)²)  with  z = (x - center) / scale
        min(max((x - edge_t) / (edge_{t+1} - edge_t), 0), 1)     for each bin t between the edges
        cos(2π k u / 10) and sin(2π k u / 10)                    for k from 1 to waves, u the first of these
        1 if x is missing, else 0                                if values were missing in training

    Sources: the bins, Gorishniy et al. (2022), On Embeddings for Numerical Features, equation (1), clipped at
    both ends, and the waves, section 3.3, with fixed frequencies; the smooth clipping, Holzmüller et al.
    (2024), Better by Default.

    >>> import numpy as np
    >>> from clearprop.tabular.reading import Column
    >>> age = Number("age", 40.0, 10.0, edges=(20.0, 40.0, 60.0), missing=True)
    >>> out = np.zeros((2, 4))
    >>> age.encode(Column("age", "number", np.array([50.0, np.nan])), out, "X")
    >>> out.round(3).tolist(), age.names
    ([[0.949, 1.0, 0.5, 0.0], [0.0, 1.0, 0.0, 1.0]], ('age', 'age[20, 40)', 'age[40, 60)', 'age missing'))
    """

    kind: ClassVar[str] = "number"
    name: str
    center: float
    """The median of the training rows."""
    scale: float
    """The distance of their quartiles, or what stands for it where that is 0."""
    edges: tuple[float, ...] = ()
    """Edges of the bins, increasing; () for none."""
    waves: int = 0
    """How many frequencies there are a cosine and a sine of; 0 for none."""
    missing: bool = False
    """Whether there is an input that tells missing values."""
    truth: bool = False
    """Whether training had truth values there: the words "true" and "false" are such, in any case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, self.scale > 0, "scale is not above 0")
        _check(self, 0 <= self.waves <= _MOST_WAVES, "its waves are out of range")
        _check(
            self, all(map(math.isfinite, (self.center, self.scale, *self.edges))), "a number is not finite"
        )
        _check(
            self, all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False)), "edges not in order"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each input that the column becomes."""
        bins = zip(self.edges, self.edges[1:], strict=False)
        waves = (f"{self.name} {wave} {k}" for k in range(1, self.waves + 1) for wave in ("cosine", "sine"))
        gap = (f"{self.name} missing",) if self.missing else ()
        return (self.name, *(f"{self.name}[{a:g}, {b:g})" for a, b in bins), *waves, *gap)

    def encode(self, column: Column, out: Array, where: str) -> None:
        """Write the inputs of all rows into out, (n, number of names)."""
        self.encode_values(_numbers_of(column, self.truth, where), out)

    def encode_values(self, values: Array, out: Array) -> None:
        """Write the inputs of float64 values, NaN where missing, into out."""
        gaps = np.isnan(values)
        x = np.where(gaps, self.center, values)
        with np.errstate(over="ignore"):  # what is beyond float64 is clipped with what is merely large
            z = (x - self.center) / self.scale
        z = np.clip(z, -1e100, 1e100)  # its square stays finite
        u = z / np.sqrt(1.0 + (z / CLIP) ** 2)
        out[:, 0] = u
        if len(self.edges) > 1:
            edges = np.array(self.edges)
            with np.errstate(over="ignore"):
                share = (x[:, None] - edges[:-1]) / (edges[1:] - edges[:-1])
            out[:, 1 : len(edges)] = np.clip(share, 0.0, 1.0)
        first = max(1, len(self.edges))
        for k in range(1, self.waves + 1):
            angle = (2 * np.pi * k / _PERIOD) * u
            out[:, first], out[:, first + 1] = np.cos(angle), np.sin(angle)
            first += 2
        if self.missing:
            out[:, -1] = gaps


@dataclass(frozen=True)
class Category(Description):
    """A column of names: one input of 0 or 1 for each level, for the rare ones together, for missing ones.

    levels: those with an input of their own, most frequent first.
    rare: whether all other names, also ones never seen, share an input; else such a name is all zeros.
    missing: whether there is an input for missing values; else they are all zeros.
    frequencies: of more levels than have an input, the natural logarithm of one plus how often each was seen,
        scaled to at most 1: one further input, 0 for a name never seen. In the order of `known`.
    known: those levels; () for none.

    >>> import numpy as np
    >>> from clearprop.tabular.reading import Column
    >>> job = Category("job", ("cook", "nurse"), rare=True, missing=True)
    >>> out = np.zeros((4, 4))
    >>> job.encode(Column("job", "text", np.array(["nurse", "pilot", None, "cook"], object)), out, "X")
    >>> out.tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "category"
    name: str
    levels: tuple[str, ...]
    rare: bool = False
    missing: bool = False
    known: tuple[str, ...] = ()
    frequencies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, len(set(self.levels)) == len(self.levels), "a level occurs twice")
        _check(self, len(self.known) == len(self.frequencies), "its frequencies do not fit its levels")
        _check(self, all(map(math.isfinite, self.frequencies)), "a frequency is infinite")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each input that the column becomes."""
        own = tuple(f"{self.name}={level}" for level in self.levels)
        rare = (f"{self.name} rare",) if self.rare else ()
        gap = (f"{self.name} missing",) if self.missing else ()
        return (*own, *rare, *gap, *((f"{self.name} frequency",) if self.known else ()))

    def encode(self, column: Column, out: Array, where: str) -> None:
        """Write the inputs of all rows into out, (n, number of names)."""
        texts = as_levels(column)
        others = len(self.levels) if self.rare else -1
        gap = len(self.levels) + self.rare if self.missing else -1
        places = _by_text(dict(zip(self.levels, range(len(self.levels)), strict=True)), texts, others)
        chosen = np.array([gap if t is None else places[t] for t in texts], np.intp)
        out[:] = 0
        has_place = np.flatnonzero(chosen >= 0)
        out[has_place, chosen[has_place]] = 1
        if self.known:
            shares = _by_text(dict(zip(self.known, self.frequencies, strict=True)), texts, 0.0)
            out[:, -1] = [0.0 if t is None else shares[t] for t in texts]


@dataclass(frozen=True)
class Date(Description):
    """A column of dates or times: days since 2000 as a number, and sine and cosine of its parts.

    parts: of "month", "day" (of the month), "weekday" and "hour" those that vary in training.

    >>> import numpy as np
    >>> from clearprop.tabular.reading import Column
    >>> when = Date("when", Number("when", 8800.0, 100.0), ("weekday",))
    >>> out = np.zeros((1, 3))
    >>> when.encode(Column("when", "date", np.array(["2024-02-05"], "datetime64[s]")), out, "X")
    >>> out.round(3).tolist(), when.names
    ([[0.01, 0.0, 1.0]], ('when', 'when weekday sine', 'when weekday cosine'))
    """

    kind: ClassVar[str] = "date"
    name: str
    time: Number
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, set(self.parts) <= set(_PARTS), "a part of its dates is not known")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each input that the column becomes."""
        waves = tuple(f"{self.name} {part} {wave}" for part in self.parts for wave in ("sine", "cosine"))
        return (*self.time.names, *waves)

    def encode(self, column: Column, out: Array, where: str) -> None:
        """Write the inputs of all rows into out, (n, number of names)."""
        dates = dates_of(column, where)
        n_time = len(self.time.names)
        self.time.encode_values(days_of(dates), out[:, :n_time])
        gaps = np.isnat(dates)
        for i, part in enumerate(self.parts):
            angle = part_of(dates, part) * (2 * np.pi / _PARTS[part])
            out[:, n_time + 2 * i] = np.where(gaps, 0.0, np.sin(angle))
            out[:, n_time + 2 * i + 1] = np.where(gaps, 0.0, np.cos(angle))


@dataclass(frozen=True)
class Ignored(Description):
    """A column that becomes no input. why: the reason, such as "one value only"."""

    kind: ClassVar[str] = "ignored"
    name: str
    why: str

    @property
    def names(self) -> tuple[str, ...]:
        """No input."""
        return ()

    def encode(self, column: Column, out: Array, where: str) -> None:
        """Write nothing."""


_KINDS: dict[str, type[Description]] = {cls.kind: cls for cls in (Number, Category, Date, Ignored)}


def described(config: Any) -> Description:
    """Return the description that `config` gave. Errors: `FileFormatError` for anything else.

    >>> described({"kind": "category", "name": "job", "levels": ["cook"]})
    Category(name='job', levels=('cook',), rare=False, missing=False, known=(), frequencies=())
    """
    try:
        options = dict(config)
        cls = _KINDS[options.pop("kind")]
        fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        made = {name: _typed(str(fields[name].type), value) for name, value in options.items()}
        return cls(**made)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(
            f"the description of a column is not sound: {type(error).__name__}: {error}."
        ) from None


def _is(wanted: str, value: Any) -> bool:
    """Return whether a value is what the annotation of a field says."""
    if wanted.startswith("tuple"):
        inner = wanted.removeprefix("tuple[").split(",")[0]
        return isinstance(value, tuple) and all(_is(inner, item) for item in value)
    if wanted in ("float", "int"):
        return isinstance(value, int | float if wanted == "float" else int) and not isinstance(value, bool)
    return isinstance(value, {"Number": Number, "bool": bool, "str": str}[wanted])


def _typed(wanted: str, value: Any) -> Any:
    """Return plain data as a field of this annotation; raise `TypeError` for another type."""
    if wanted == "Number":
        found = described(value)
        if isinstance(found, Number):
            return found
    elif wanted.startswith("tuple") and isinstance(value, list):
        inner = wanted.removeprefix("tuple[").split(",")[0]
        return tuple(_typed(inner, item) for item in value)
    elif wanted == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value).__name__ == wanted and wanted in ("int", "bool", "str"):
        return value
    raise TypeError(f"{value!r} is no {wanted}")


def _plain(value: Any) -> Any:
    if isinstance(value, Description):
        return value.config()
    return list(value) if isinstance(value, tuple) else value


def _check(thing: Description, holds: bool, problem: str) -> None:
    if not holds:
        raise OptionError(f"{type(thing).__name__} {thing.name!r}: {problem}.")


# Columns as what the description expects ------------------------------------------------------------


def _by_text(of_level: dict[str, Any], texts: Array, other: Any) -> dict[str, Any]:
    """Return what belongs to each text: that of the level written so, else of one that means the same."""
    common: dict[str, Any] = {}
    for level, value in of_level.items():
        common.setdefault(common_form(level), value)
    distinct = {text for text in texts if text is not None}
    return {t: of_level[t] if t in of_level else common.get(common_form(t), other) for t in distinct}


def _numbers_of(column: Column, truth: bool, where: str) -> Array:
    if column.kind == "number":
        return column.values
    if truth and column.kind == "text":
        words = [None if text is None else text.lower() for text in column.values]
        if {word for word in words if word is not None} <= TRUTH.keys():
            return np.array([np.nan if word is None else TRUTH[word] for word in words])
    _check_empty(column, "numbers", where)
    return np.full(len(column.values), np.nan)


def dates_of(column: Column, where: str) -> Array:
    """Return a column's dates, datetime64[s]. Errors: `DataError` for what holds something else."""
    if column.kind == "date":
        return column.values
    _check_empty(column, "dates", where)
    return np.full(len(column.values), np.datetime64("NaT", "s"))


def _check_empty(column: Column, wanted: str, where: str) -> None:
    """Raise `DataError` for a column of the wrong kind, unless it has no value at all."""
    there = np.flatnonzero(~column.missing)
    if not len(there):
        return
    raise DataError(
        f"{where}: column {column.name!r} holds {column.values[there[0]]!s} in data row "
        f"{column.first + there[0] + 1}; the model was trained on {wanted} there. "
        f"Give {wanted}, or leave the value out."
    )


def days_of(dates: Array) -> Array:
    """Return the days since 2000-01-01 as float64, NaN for no date."""
    seconds = (dates - np.datetime64("2000-01-01", "s")) / np.timedelta64(86400, "s")
    return np.asarray(seconds, np.float64)


def part_of(dates: Array, part: str) -> Array:
    """Return a part of each date as a whole number from 0: month, day, weekday (Monday is 0) or hour."""
    whole = np.where(np.isnat(dates), np.datetime64("2000-01-01", "s"), dates)
    days = whole.astype("datetime64[D]")
    if part == "month":
        return np.asarray(whole.astype("datetime64[M]").astype(np.int64) % 12)
    if part == "day":
        return np.asarray((days - whole.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64))
    if part == "weekday":
        return np.asarray((days.astype(np.int64) + 3) % 7)
    return np.asarray((whole - days).astype("timedelta64[h]").astype(np.int64))
