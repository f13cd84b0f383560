"""Data for the command line: a named data set or a file, its split, and labels in the words of the file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cells import number_of
from clearprop.cli.output import Output
from clearprop.cli.tables import TableDataset, is_table, read_table_file
from clearprop.datasets import Dataset, dataset_names, load_dataset
from clearprop.errors import DataError, OptionError

__all__ = [
    "Source",
    "class_labels",
    "fingerprint",
    "list_columns",
    "load_source",
    "split_off",
    "trained_labels",
]

_WITH_FILES = ("mnist", "fashion_mnist")
_MOST_WHOLE_CLASSES = 10  # a numeric target of whole numbers with more values than this means numbers
_MOST_DIGITS = 18  # so many are always within int64


@dataclass(frozen=True)
class Source:
    """Where data come from: the argument DATA and the options that say how to read it."""

    name: str
    data: Path | None = None
    target: str | None = None
    task: str | None = None
    drop: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    """Columns of a table to take as they are written: what a model knows by levels."""

    @property
    def stem(self) -> str:
        """A name for files that are made of it: "digits", or the file's own name without its endings."""
        return self.name if self.name in dataset_names() else Path(self.name).name.split(".")[0] or "model"

    @property
    def files(self) -> dict[str, Path | None]:
        """The files that the data lie in, by what each is; None where they come with the library."""
        own = None if self.name in dataset_names() else Path(self.name)
        return {"the data": own, "--data": self.data}


def load_source(source: Source, output: Output, seed: int = 0) -> Dataset:
    """Return the data set. seed: of synthetic data.

    Errors: `OptionError` for an option that does not go with the source, and those of `load_dataset`.
    """
    if source.data is not None and source.name not in _WITH_FILES:
        raise OptionError(
            "--data goes with mnist and fashion_mnist; for other data give the path in place of "
            f"{source.name!r}."
        )
    if is_table(source.name):
        return _load_table(source, output)
    for option, value in (("--target", source.target), ("--task", source.task), ("--drop", source.drop)):
        if value:
            raise OptionError(f"{option} goes with a table; {source.name!r} is none. Leave {option} out.")
    options: dict[str, Any] = {}
    if source.name in _WITH_FILES:
        options = {"path": source.data} if source.data is not None else {"progress": _Download(output)}
    return load_dataset(source.name, seed=seed, **options)


def split_off(dataset: Dataset, test_fraction: float, seed: int) -> Dataset:
    """Return the data set with a test part: its own, or the fraction of it (none for 0)."""
    if dataset.X_test is not None or test_fraction == 0:
        return dataset
    return dataset.split(test_fraction, seed)


def class_labels(dataset: Dataset, where: str | None = None) -> list[Any] | None:
    """Return what each class is called for the network: whole numbers where they are such, else the names.

    Fashion-MNIST's files hold numbers, so numbers they stay. None for regression. where: what messages call
    the data, if not by their name.
    """
    names = dataset.class_names
    if names is None:
        return None
    if len(names) < 2:
        raise DataError(
            f"{where or dataset.name}: the target holds one class only, {names[0]!r}: there is nothing to "
            "learn. Give examples of two or more classes."
        )
    if dataset.name == "fashion_mnist":
        return list(range(len(names)))
    whole = all(name.lstrip("-").isascii() and name.lstrip("-").isdigit() for name in names)
    as_numbers = [int(name) for name in names] if whole and max(map(len, names)) <= _MOST_DIGITS else []
    return as_numbers if as_numbers and [str(n) for n in as_numbers] == list(names) else list(names)


def trained_labels(dataset: Dataset, y: Array) -> Array:
    """Return y, class indices of the data set, as the labels that the network is trained on."""
    labels = class_labels(dataset)
    return y if labels is None else np.asarray(labels)[y]


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of the examples for training before a split: the same data, the same text."""
    digest = hashlib.sha256()
    if isinstance(dataset, TableDataset):  # what the numbers in X stand for
        digest.update(repr((dataset.kinds, dataset.levels)).encode())
    for array in (dataset.X_train, dataset.y_train):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _load_table(source: Source, output: Output) -> Dataset:
    dataset = read_table_file(
        source.name,
        source.target,
        task=source.task,
        drop=source.drop,
        as_text=source.as_text,
        whole_classes=_MOST_WHOLE_CLASSES,
    )
    names = dataset.class_names
    if source.task is None and names is not None:
        if all(number_of(name).is_integer() for name in names):
            output.note(
                f"target {source.target!r} holds {len(names)} different whole numbers: read as classes "
                "(--task regression reads them as numbers)"
            )
        else:
            _note_many_classes(source, dataset.y_train, names, output)
    return dataset


def _note_many_classes(source: Source, y: Array, names: Sequence[str], output: Output) -> None:
    """Say so where most classes are of one row each: numbers, perhaps, of which one cell is a word."""
    alone = int(np.count_nonzero(np.bincount(y) == 1))
    word = next((name for name in names if math.isnan(number_of(name))), None)
    if word is None or len(names) <= _MOST_WHOLE_CLASSES or 2 * alone <= len(names):
        return
    output.note(
        f"target {source.target!r} holds {len(names)} different values in {len(y)} rows, {alone} of them "
        f"once, and {word!r} is no number: read as classes (--task regression names the first such cell)"
    )


class _Download:
    """Says once for each file that it is being downloaded."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._seen: set[str] = set()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if name not in self._seen:
            self._seen.add(name)
            self._output.note(f"downloading {name}")


def list_columns(text: str | None) -> Sequence[str]:
    """Return the names in "a,b"; () for None."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
