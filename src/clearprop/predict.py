"""Predict with a saved model, and nothing else: NumPy alone, no engine, no training.

    python -m clearprop.predict MODEL.safetensors < rows.csv > predictions.csv

The mathematics is that of the layers themselves; what is left out is what only training needs, so that a
process starts sooner than with `clearprop.load`.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from clearprop.arrays import Array
from clearprop.errors import (
    ClearpropError,
    DataError,
    DTypeError,
    FileFormatError,
    NotInitializedError,
    did_you_mean,
)
from clearprop.io import load_model
from clearprop.layers import chain_forward
from clearprop.lazy import Lazy
from clearprop.model import Model, State
from clearprop.persistence import restore
from clearprop.training.data import Affine, Examples, as_features
from clearprop.training.targets import Targets
from clearprop.views import class_probabilities

if TYPE_CHECKING:
    from clearprop import tabular  # type: ignore[attr-defined,unused-ignore]
else:
    tabular = Lazy("clearprop.tabular")

__all__ = ["Predictor", "is_table_model", "load_predictor", "main"]

_TABULAR = "tabular"
"""Where the extra data of a file describe the columns of a table, to be encoded first."""
_TABULAR_PARTS = frozenset({"version", "members", "encoding"})
"""What such a description always has: a user's own data may lie under the same name."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """A saved network for prediction alone. It never changes, so any number of threads may use one.

    Its outputs are, bit for bit, those of ``network.outputs(X, engine="batch")``.
    """

    model: Model
    state: State = field(repr=False)
    """Parameters and running statistics; they cannot be written to."""
    targets: Targets | None = None
    preprocessing: Affine | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    """The plain data that was saved along."""

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels in the order of the probabilities; () where there are none."""
        return () if self.targets is None else tuple(self.targets.classes)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, where the file has them; else ()."""
        data = self.extra.get("data")
        return tuple(data.get("feature_names") or ()) if isinstance(data, dict) else ()

    def outputs(self, X: Any) -> Array:
        """Return the outputs a^L of the network, (n, n_out). X: as of `Network.outputs`, with its errors."""
        features = as_features(X, "X", getattr(self.model.layers[0], "inputs", None))
        self.model.check_input(features)
        dtype, n = self.state.theta.dtype, features.shape[0]
        rows = Examples.prepare(features, np.empty((n, 0)), None, dtype, self.preprocessing)
        found = [self._forward(part) for part, _, _ in rows.batches(rows.chunk_rows)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _forward(self, rows: Array) -> Array:
        a: Array = chain_forward(self.model.layers, rows, self.state.params, self.state.buffer_tree)[-1].a
        return a

    def predict(self, X: Any) -> Array:
        """Return predictions in the form that y had in fit: labels, one-hot rows, or real numbers."""
        a = self.outputs(X)
        return a if self.targets is None else self.targets.decode(a)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n, classes). Errors: `OptionError` where there are none."""
        return class_probabilities(self.model.layers[-1], self.targets, self.outputs(X))


def load_predictor(path: str | os.PathLike[str], *, custom: Sequence[Any] = ()) -> Any:
    """Return what predicts with the model in a file: a `Predictor`, or for a table model a `TabularModel`.

    Both have ``predict(X)``, ``predict_proba(X)`` and ``outputs(X)``; which it is, the file says. Neither
    scikit-learn nor any optional package is imported, nor anything in the file run.

    custom: classes of your own activations, costs or layers that the model uses.
    Errors: those of `clearprop.load`; `FileFormatError` for a table model where clearprop.tabular is missing;
    `NotInitializedError` for a network that waits for the data of fit.

    >>> import pathlib, tempfile
    >>> from clearprop.network import Network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Network([2, 3, 1], seed=0).save(pathlib.Path(folder, "small.safetensors"))
    ...     predictor = load_predictor(path)
    >>> predictor.outputs([[0.0, 1.0]]).shape, predictor.model.n_in
    ((1, 1), 2)
    """
    loaded = load_model(path, custom=custom)
    kept = restore(SimpleNamespace(targets=None, model=loaded.model), loaded, path)
    if is_table_model(kept.extra):
        return _load_tabular(path, custom)
    if isinstance(kept.preprocessing, str):
        raise NotInitializedError(
            f"{os.fspath(path)} holds a network that takes its preprocessing from the data of fit, and was "
            "never fitted."
        )
    for numbers in (loaded.theta, loaded.buffers):
        numbers.flags.writeable = False
    state = State(loaded.model, loaded.theta, loaded.buffers)
    return Predictor(loaded.model, state, kept.targets, kept.preprocessing, kept.extra)


def is_table_model(extra: Mapping[str, Any]) -> bool:
    """Return whether what a model file holds besides its network, `Network.extra`, makes it a table model.

    >>> is_table_model({"tabular": {"about": 1}})
    False
    """
    found = extra.get(_TABULAR)
    return isinstance(found, Mapping) and found.keys() >= _TABULAR_PARTS


def _load_tabular(path: str | os.PathLike[str], custom: Sequence[Any]) -> Any:
    try:
        return tabular.TabularModel.load(Path(path), custom=custom)
    except ModuleNotFoundError as error:
        if error.name != "clearprop.tabular":
            raise
        raise FileFormatError(
            f"{os.fspath(path)} holds a table model, and this installation has no clearprop.tabular to "
            "read it. Install a clearprop that has it, or read the bare network with clearprop.load."
        ) from None


# -- from the command line -----------------------------------------------------------------------

_USAGE = "usage: python -m clearprop.predict MODEL [--proba | --outputs] < rows.csv > predictions.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read CSV rows from standard input, write predictions to standard output; return the exit status.

    A first line that is no row of numbers is a header; where the model knows its features' names, the
    columns are picked by it, in any order. ``--proba`` writes a column for each class, ``--outputs`` the raw
    outputs. Status 2 for wrong usage, 1 for an error, which is one line on standard error.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    wanted = [word for word in given if word.startswith("-")]
    paths = [word for word in given if not word.startswith("-")]
    if "--help" in wanted or "-h" in wanted:
        print(f"{_USAGE}\n\n{(main.__doc__ or '').strip()}")
        return 0
    if len(paths) != 1 or len(wanted) > 1 or not set(wanted) <= {"--proba", "--outputs"}:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        predictor = load_predictor(paths[0])
        _write(predictor, _read(sys.stdin, predictor), wanted, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: say no more
        return 1
    except ClearpropError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _read(file: TextIO, predictor: Any) -> Any:
    """Return the rows as numbers (n, d); for a table model as columns by name, of text."""
    reader = csv.reader(file)
    lines = [(reader.line_num, row) for row in reader if row]
    if not lines:
        raise DataError("standard input holds no rows. Give CSV: one example per line.")
    if not isinstance(predictor, Predictor):
        (_, head), *rows = lines
        _check_lengths(rows, len(head))
        return {name: [row[i] or None for _, row in rows] for i, name in enumerate(head)}
    header = None if _numbers(lines[0][1]) is not None else lines.pop(0)[1]
    columns = list(range(len(header or lines[0][1])))
    _check_lengths(lines, len(columns))
    if header is not None and predictor.feature_names:
        columns = [_column(name, header) for name in predictor.feature_names]
    X = np.empty((len(lines), len(columns)))
    for i, (line, row) in enumerate(lines):
        numbers = _numbers([row[k] for k in columns])
        if numbers is None:
            cell = next(row[k] for k in columns if _numbers([row[k]]) is None)
            raise DTypeError(f"line {line} of standard input holds {cell!r}, which is no number.")
        X[i] = numbers
    return X


def _check_lengths(rows: Sequence[tuple[int, Sequence[str]]], columns: int) -> None:
    for line, row in rows:
        if len(row) != columns:
            raise DataError(
                f"line {line} of standard input holds {len(row)} values; the first line {columns}."
            )


def _column(name: str, header: Sequence[str]) -> int:
    if name not in header:
        raise DataError(
            f"standard input has no column {name!r}, which the model needs.{did_you_mean(name, header)}"
        )
    return header.index(name)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return None


def _write(predictor: Any, X: Any, wanted: Sequence[str], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    if "--proba" in wanted:
        found = predictor.predict_proba(X)
        names: Sequence[Any] = predictor.classes or range(found.shape[1])
    else:
        found = predictor.outputs(X) if wanted else predictor.predict(X)
        found = found.reshape(len(found), -1)
        several = found.shape[1] > 1
        word = "output" if wanted else "prediction"
        names = [f"{word}_{j}" for j in range(found.shape[1])] if several else [word]
    writer.writerow(names)
    # Python's own numbers print with as many digits as tell a number from its neighbours; of a float32
    # those of its own type are fewer.
    exact = found.astype(str) if found.dtype == np.float32 else found
    writer.writerows(exact.tolist())


if __name__ == "__main__":
    sys.exit(main())
