"""Wrong types that once reached NumPy or the standard library unchecked: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import clearprop as cp
from clearprop import datasets, plots
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError, UnknownNameError
from clearprop.tabular import TabularModel, learn_encoding

ARRAY = np.ones((4, 3))
RAGGED = [[1.0], [2.0, 3.0]]


def net() -> cp.Network:
    return cp.Network([3, 2, 1], seed=0)


def sparse() -> Any:
    return scipy.sparse.random(3, 3, 0.5, format="coo", rng=0)


def nested(depth: int) -> Any:
    found: Any = 1.0
    for _ in range(depth):
        found = [found]
    return found


CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "read_idx": (lambda: datasets.read_idx(None), DTypeError, "a path must be a string"),
    "read_npz": (lambda: datasets.read_npz(1.5), DTypeError, "a path must be a string"),
    "read_table": (lambda: datasets.read_table([1]), DTypeError, "a path must be a string"),
    "load_dataset": (lambda: datasets.load_dataset(range(3)), DTypeError, "a path must be a string"),
    "null in a path": (lambda: datasets.read_npz("a\0b"), OptionError, "without null characters"),
    "mirrors": (lambda: datasets.mnist(base_url=3.0), DTypeError, "mirrors must be a list"),
    "nielsen_split": (lambda: datasets.nielsen_split("mnist"), DTypeError, "Got str"),
    "shuffle": (lambda: datasets.circles(shuffle=ARRAY), DTypeError, "shuffle must be True or False"),
    "factor": (
        lambda: datasets.circles(factor=ARRAY),
        DTypeError,
        "factor of circles must be a finite number",
    ),
    "too many": (lambda: datasets.moons(2**63), OptionError, "n must be at most 1000000000000"),
    "turns": (lambda: datasets.spirals(turns="2"), DTypeError, "turns of spirals must be a finite number"),
    "split fraction": (lambda: datasets.split_indices([0, 1], "0.5"), DTypeError, "test_fraction must be"),
    "split ragged": (lambda: datasets.split_indices(RAGGED), ShapeError, "y holds rows of different lengths"),
    "stratify": (lambda: datasets.split_indices([0, 1], stratify=ARRAY), DTypeError, "stratify must be True"),
    "save: extra": (lambda: net().save("x", extra=[1]), DTypeError, "extra must be a dictionary"),
    "save: path": (lambda: net().save(ARRAY), DTypeError, "a path must be a string"),
    "save: overwrite": (
        lambda: net().save("x", overwrite=ARRAY),
        DTypeError,
        "overwrite must be True or False",
    ),
    "build: n_in": (lambda: net().build(ARRAY), DTypeError, "n_in must be a whole number"),
    "build: n_out": (lambda: net().build(3, 0), OptionError, "n_out must be a whole number >= 1"),
    "trace: training": (
        lambda: net().trace(ARRAY, [0.1] * 4, training=ARRAY),
        DTypeError,
        "training must be True",
    ),
    "weights nested": (
        lambda: net().evaluate(ARRAY, np.ones(4), sample_weight=RAGGED),
        ShapeError,
        "sample_weight holds rows of different lengths",
    ),
    "per_neuron: choices": (lambda: cp.per_neuron(3.0), DTypeError, "choices must be a list"),
    "per_neuron: counts": (lambda: cp.per_neuron(["tanh"], 3), DTypeError, "counts must be a list"),
    "per_neuron: repeat": (lambda: cp.per_neuron(["tanh"], (), "yes"), DTypeError, "repeat"),
    "norms: names": (lambda: cp.NormHistory(names=1.0), DTypeError, "names must be a list"),
    "metrics_for": (lambda: cp.metrics.metrics_for(ARRAY), OptionError, "task must be one of"),
    "greater_is_better": (lambda: cp.metrics.greater_is_better(1), DTypeError, "column must be the name"),
    "history": (lambda: cp.History()[ARRAY], UnknownNameError, "the history has no column"),
    "figure_bytes": (
        lambda: plots.figure_bytes({}),
        DTypeError,
        "figure must be a matplotlib Figure. Got dict",
    ),
    "efforts": (lambda: plots.effort_data(3), DTypeError, "hidden must be a list"),
    "efforts sparse": (lambda: plots.effort_data(sparse()), DTypeError, "hidden must be a list"),
    "scatter huge": (lambda: plots.scatter_data(1e308 * np.eye(4)), DataError, "X holds numbers too large"),
    "scatter text": (lambda: plots.scatter_data(ARRAY.astype(str)), DTypeError, "X must hold numbers"),
    "landscape ragged": (
        lambda: plots.landscape_data(net(), RAGGED, [1, 2]),
        ShapeError,
        "different lengths",
    ),
    "weight images": (lambda: plots.weights(net(), shape=-1), DTypeError, "shape must be a list. Got -1"),
    "layers, one number": (lambda: cp.Network(np.array(2.0)), OptionError, "layers must be a list of layers"),
    "explain, ragged": (
        lambda: net().explain([1, 2, 3], RAGGED, layer=1, bias=0),
        ShapeError,
        "y holds rows",
    ),
    "weight images, neurons": (
        lambda: plots.weights(net(), neurons=-0.0),
        DTypeError,
        "neurons must be a list",
    ),
    "weight images, sides": (lambda: plots.weights(net(), shape=(3,)), OptionError, r"\(height, width\)"),
    "sparse shortcut": (lambda: cp.Residual([cp.Dense(2)], sparse()), DTypeError, "layers must be a list"),
    "path": (lambda: cp.load("\ud800"), OptionError, "text that a file system can hold"),
    "too many numbers": (
        lambda: cp.Network([20, 2**63, 10]),
        ShapeError,
        "1.W has the shape .* more numbers than memory has addresses for",
    ),
    "too many numbers in all": (
        lambda: cp.Network([2**30] * 12),
        ShapeError,
        "smaller",
    ),
    "table of none": (lambda: learn_encoding({"a": None}), DTypeError, r"X\['a'\] must be a list. Got None"),
    "table model, encoding": (lambda: TabularModel(ARRAY, (net(),)), DTypeError, "must be a TableEncoding"),
    "table model, networks": (
        lambda: TabularModel(learn_encoding({"a": [1.0, 2.0]}), ARRAY),
        DTypeError,
        "one or more Networks",
    ),
    "table model, limits": (
        lambda: TabularModel(learn_encoding({"a": [1.0, 2.0]}), [cp.Network([1, 1])], limits="1.W"),
        DTypeError,
        "limits must be pairs",
    ),
    "table model, extra": (
        lambda: TabularModel(learn_encoding({"a": [1.0, 2.0]}), [cp.Network([1, 1])], extra=[1]),
        DTypeError,
        "extra must be a dict",
    ),
    "from_sklearn": (lambda: cp.from_sklearn(ARRAY), DTypeError, "Got ndarray"),
    "from_keras": (
        lambda: cp.from_keras([nested(100)]),
        ShapeError,
        "array 0 of the weights is nested too deeply",
    ),
    "check_network": (lambda: cp.check_network(ARRAY, ARRAY, ARRAY), DTypeError, "net must be a Network"),
    "diagnose": (lambda: cp.diagnose(ARRAY, ARRAY, ARRAY), DTypeError, "net must be a Network. Got ndarray"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_each(name: str) -> None:
    make, error, message = CASES[name]
    with pytest.raises(error, match=message):
        make()


def test_a_layer_that_cannot_be_one_has_no_view() -> None:
    assert net().W.get([1]) is None
    assert net().W.get(ARRAY, "none") == "none"
    assert net().W.get(1).shape == (2, 3)
