"""A saved model together with data: what `predict` and `evaluate` share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.cli.data import Source, fingerprint, load_source, split_off
from clearprop.cli.measure import class_names
from clearprop.cli.output import Output
from clearprop.cli.tables import (
    TableDataset,
    encode_rows,
    is_table,
    levelled,
    read_rows,
    require_columns,
)
from clearprop.datasets import Dataset
from clearprop.datasets.files import require_file
from clearprop.datasets.tables import read_columns
from clearprop.errors import DataError, FileFormatError, OptionError, did_you_mean
from clearprop.network import Network
from clearprop.tabular import KEY, TabularModel, read
from clearprop.tabular.texts import common_form

__all__ = ["PARTS", "Examples", "about_data", "labelled", "trained_on", "unlabelled"]

PARTS = ("all", "train", "test")


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows for a model, and which part of which data they are."""

    X: Array
    y: Array | None
    """Labels as the model was trained on, or numbers; None where they are not known."""
    part: str


def about_data(network: Network) -> dict[str, Any]:
    """Return what the model's file says about the data it was trained on, {} if nothing."""
    found = network.extra.get("data")
    return found if isinstance(found, dict) else {}


def labelled(network: Network, source: Source, part: str | None, output: Output) -> Examples:
    """Return examples with their true targets, in the model's words.

    part: "all", "train" or "test"; left out, the test part if the data have one of their own or are those
    that the model was trained on (then split as in training), else all.
    Errors: `DataError` for a label that the model does not know, and those of loading.
    """
    dataset = _dataset(network, source, output)
    X, y, chosen = _part(network, dataset, part)
    X = encode_rows(network, dataset, X, source.name)
    return Examples(X, _in_model_words(network, dataset, y), chosen)


def trained_on(network: Network, source: Source, where: str, output: Output) -> Examples:
    """Return the examples that a network was trained on, in its words. where: names its file in messages.

    Errors: `DataError` for other data; those of loading.
    """
    dataset = _dataset(network, source, output)
    if about_data(network).get("fingerprint") != fingerprint(dataset):
        described = about_data(network).get("description", "other data")
        raise DataError(
            f"these are not the data of {where}: it trained on {described}, and {source.name!r} holds other "
            "examples. Give the data as train was given them."
        )
    X, y, _ = _part(network, dataset, "train")
    X = encode_rows(network, dataset, X, source.name)
    return Examples(X, _in_model_words(network, dataset, y), "training")


def unlabelled(network: Network, source: Source, part: str | None, output: Output) -> Examples:
    """Return examples to predict: a table needs no target column, an .npy file holds X alone.

    part: of a table only where it is the one that the model was trained on, which needs the target column.
    """
    path = Path(source.name).expanduser()
    is_array = path.suffix.lower() == ".npy"
    whole = part in (None, "all")
    if (is_table(source.name) and whole) or is_array:
        if not whole:
            raise OptionError(f"--part goes with data sets that have parts; {source.name!r} is one whole.")
        for option, value in (("--data", source.data), ("--target", source.target)):
            if value:
                raise OptionError(f"{option} does not go with {source.name!r} here. Leave it out.")
        X = _array_rows(network, path) if is_array else _rows_of(network, path, source)
        return Examples(X, None, "all")
    dataset = _dataset(network, source, output)
    X, _, chosen = _part(network, dataset, part)
    return Examples(encode_rows(network, dataset, X, source.name), None, chosen)


def _array_rows(network: Network, path: Path) -> Array:
    array = _read_npy(path)
    if KEY not in network.extra:
        return array
    return np.asarray(encode_rows(network, read(array, str(path)), where=str(path)))


def _rows_of(network: Network, path: Path, source: Source) -> Array:
    table = read_rows(path, source.drop, _needed(network), levelled(network))
    return np.asarray(encode_rows(network, table, where=str(path)))


def _needed(network: Network) -> tuple[str, ...]:
    """Return the columns that the model reads: those of training, without the ones that became no input."""
    if KEY in network.extra and (encoding := TabularModel.of_network(network).encoding).named:
        return tuple(column.name for column in encoding.columns if column.names)
    return tuple(about_data(network).get("feature_names") or ())


def _read_npy(path: Path) -> Array:
    require_file(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FileFormatError(f"{path} is not a sound .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{path} is not an .npy file, whatever its name says.")
    return array


def _dataset(network: Network, source: Source, output: Output) -> Dataset:
    about = about_data(network)
    if not is_table(source.name):
        seed = about.get("split_seed", 0) if about.get("name") == source.name else 0
        return load_source(source, output, seed if isinstance(seed, int) else 0)
    target = source.target or about.get("target")
    if target is None:
        return load_source(source, output)  # says which columns there are
    task = "regression" if class_names(network) is None else "classification"
    wanted = about.get("feature_names") or ()
    path = Path(source.name).expanduser()
    drop = source.drop
    if wanted:
        columns = read_columns(path)
        require_columns(path, columns, _needed(network))
        wanted = [name for name in wanted if name in columns]
        drop = tuple(name for name in columns if name not in wanted and name != target)
    told = Source(source.name, None, target, source.task or task, drop, levelled(network))
    dataset = load_source(told, output)
    return _in_order(dataset, wanted) if wanted else dataset


def _in_order(dataset: Dataset, wanted: list[str]) -> Dataset:
    if list(dataset.feature_names) == list(wanted):
        return dataset
    order = [dataset.feature_names.index(name) for name in wanted]
    own: dict[str, Any] = {}
    if isinstance(dataset, TableDataset):
        own = {name: tuple(getattr(dataset, name)[j] for j in order) for name in ("kinds", "levels")}
    return dataclasses.replace(dataset, X_train=dataset.X_train[:, order], feature_names=tuple(wanted), **own)


def _part(network: Network, dataset: Dataset, part: str | None) -> tuple[Array, Array, str]:
    if part is not None and part not in PARTS:
        raise OptionError(f"--part must be all, train or test.{did_you_mean(part, PARTS)} Got {part!r}.")
    about = about_data(network)
    known = about.get("fingerprint") == fingerprint(dataset)
    fraction = about.get("test_fraction")
    if dataset.X_test is None and known and fraction:
        dataset = split_off(dataset, fraction, about.get("split_seed", 0))
    if dataset.X_test is None or dataset.y_test is None:
        if part == "test" or (part == "train" and not known):
            raise OptionError(
                f"--part {part}: {dataset.name!r} has no parts of its own, and the model was not trained on "
                "a part of it. Leave --part out."
            )
        return dataset.X_train, dataset.y_train, "training" if known else "all"
    if part is None or part == "test":
        return dataset.X_test, dataset.y_test, "test"
    if part == "train":
        return dataset.X_train, dataset.y_train, "training"
    X, y = [dataset.X_train, dataset.X_test], [dataset.y_train, dataset.y_test]
    return np.concatenate(X), np.concatenate(y), "all"


def _in_model_words(network: Network, dataset: Dataset, y: Array) -> Array:
    """Return y, class indices or numbers of the data set, as labels of the model."""
    names, targets = class_names(network), network.targets
    if targets is None:
        raise DataError(
            "this model was never fitted: it does not know what its outputs mean. Fit it and save it again."
        )
    if names is None:
        if targets.kind == "real" and dataset.class_names is not None:
            raise DataError(
                f"the model predicts numbers; the targets of {dataset.name!r} are classes, "
                f"{_some(dataset.class_names)}."
            )
        return y
    if dataset.class_names is None:
        raise DataError(
            f"the model predicts the classes {_some(names)}; the targets of {dataset.name!r} are numbers."
        )
    places = [_place(name, names) for name in dataset.class_names]
    unknown = next((name for name, i in zip(dataset.class_names, places, strict=True) if i < 0), None)
    if unknown is not None:
        raise DataError(
            f"{dataset.name!r} holds the class {unknown!r}, which the model does not know. "
            f"Its classes: {_some(names)}."
        )
    return np.asarray(np.asarray(targets.classes)[places][y])


def _place(label: str, names: tuple[str, ...]) -> int:
    """Return the place of the class that is called so, else of the only one that means the same; or -1."""
    if label in names:
        return names.index(label)
    common = common_form(label.strip())
    same = [i for i, name in enumerate(names) if common_form(name.strip()) == common]
    return same[0] if len(same) == 1 else -1


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names[:10]) + (", …" if len(names) > 10 else "")
