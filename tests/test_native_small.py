"""Small networks on the native rung, their examples in the lanes, and neighbours that lie in panels.

Which of the two a network takes is a rule of its shape: `Small::takes` in native/small.cpp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.native_cases import SEVERAL_STEPS, WEIGHTS, N, X, difference, fitted, needs_native
from tests.networks import Case, activation_cases, largest_difference, problem, relative, special_cases

import clearprop as cp
from clearprop.compiled import native
from clearprop.engines import engines
from clearprop.layers import Dense

pytestmark = needs_native

SETS = [] if native is None else native.instruction_sets()
each_set = pytest.mark.parametrize("isa", SETS)


def small(**options: Any) -> cp.Network:
    """Return a chain of narrow Dense layers, one of them without biases."""
    layers = [
        cp.Dense(7, "tanh"),
        cp.Dense(16, "relu", bias=False),
        cp.Dense(9, "gelu"),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


def wide(**options: Any) -> cp.Network:
    """Return the same with layers that are too wide for the lanes."""
    layers = [
        cp.Dense(27, "tanh"),
        cp.Dense(33, "relu", bias=False),
        cp.Dense(9, "gelu"),
        cp.Dense(3, "softmax"),
    ]
    return cp.Network(layers, n_in=5, **{"seed": 2, **options})


def widened(case: Case) -> Case:
    """Return a case of Dense layers with one in front that is too wide for the lanes."""
    return case._replace(
        name=f"wide-{case.name}", layers=[Dense(19, "tanh"), Dense(17, "tanh"), *case.layers]
    )


CHAINS = [
    case for case in (*activation_cases(), *special_cases()) if all(type(x) is Dense for x in case.layers)
]


# Looking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
def test_every_activation_and_cost_of_a_small_network(case: Case) -> None:
    for n in (1, 3, 37):
        assert largest_difference(problem(case, n, weighted=n > 1), "native") < 1e-12


@pytest.mark.parametrize("case", CHAINS, ids=lambda case: case.name)
def test_every_activation_and_cost_of_a_wide_network(case: Case) -> None:
    assert largest_difference(problem(widened(case), 11, weighted=True), "native") < 1e-12


SHAPES = {
    "xor": Case("xor", [Dense(3, "sigmoid"), Dense(3, "sigmoid"), Dense(1, "sigmoid")], "quadratic", 2),
    "moons": Case("moons", [Dense(100, "relu"), Dense(2, "softmax")], "cross_entropy", 2),
    "iris": Case("iris", [Dense(16, "tanh"), Dense(3, "softmax")], "cross_entropy", 4),
    "regression": Case(
        "regression", [Dense(16, "relu"), Dense(16, "relu"), Dense(1)], "mean_squared_error", 8
    ),
    "many inputs": Case(
        "many inputs", [Dense(3, "softplus"), Dense(2, "sigmoid")], "binary_cross_entropy", 29
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@each_set
def test_every_batch_size(monkeypatch, isa: str, shape: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    rung, batch = engines()["native"], engines()["batch"]
    for n in (*range(1, 71), 200, 515, 1111):
        p = problem(SHAPES[shape], n, weighted=n % 2 == 0)
        found, expected = rung.gradient(*p), batch.gradient(*p)
        assert relative(found.gradient, expected.gradient) < 1e-12, n
        assert relative(found.output.a, expected.output.a) < 1e-13, n
        single = problem(SHAPES[shape], n, weighted=n % 2 == 0, dtype=np.float32)
        assert relative(rung.gradient(*single).gradient, expected.gradient) < 1e-4, n


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_set
def test_an_example_has_the_same_bits_in_any_company(monkeypatch, isa: str, dtype: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    net = small(dtype=dtype, engine="native")
    many = np.random.default_rng(3).normal(size=(700, 5)).astype(dtype)
    whole = net.outputs(many)
    # From five rows on: fewer are read straight from theta, in another order of sums (few_rows.hpp).
    for rows in (slice(0, 5), slice(1, 8), slice(500, 570), slice(None, None, 7)):
        np.testing.assert_array_equal(net.outputs(many[rows]), whole[rows])
    trace = net.trace(many, np.eye(3)[np.arange(700) % 3], engine="native")
    np.testing.assert_array_equal(trace.a, whole)


# Training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 10, 16, 44, 45])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_small_networks_train(optimizer: str, batch_size: int) -> None:
    options = {
        "optimizer": optimizer,
        "eta": 0.01,
        "batch_size": batch_size,
        "epochs": 2 if batch_size > 1 else 1,
    }
    assert difference(small, **options) < SEVERAL_STEPS
    shaped = {"l1": 0.01, "l2": 0.1, "clip_norm": 0.5, "clip_value": 0.1, "max_norm": 1.0}
    assert difference(small, **options, **shaped) < SEVERAL_STEPS


OPTIONS: dict[str, dict[str, Any]] = {
    "weights": {"sample_weight": WEIGHTS, "class_weight": "balanced"},
    "penalty": {"penalty": cp.Penalty(0.02, 0.1, scope="all", divide_by="batch")},
    "groups": {"groups": {"1": {"rate": 0.3}, "*.W": {"decay": 0.5}, "4.b": {"rate": 2.0}}, "l2": 0.2},
    "max_norm": {"max_norm": 0.4},
    "metrics": {"metrics": ["accuracy", "f1"], "sample_weight": WEIGHTS},
    "schedule": {"schedule": cp.ExponentialDecay(0.9, "step")},
    "larger than the data": {"batch_size": 1000},
}


@pytest.mark.parametrize("make", [small, wide])
@pytest.mark.parametrize("name", OPTIONS)
@each_set
def test_options_on_both_sides_of_the_rule(monkeypatch, isa: str, name: str, make: Any) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    for optimizer in (cp.SGD(0.2), cp.Adam(0.01)):
        assert difference(make, optimizer=optimizer, **OPTIONS[name]) < SEVERAL_STEPS


@pytest.mark.parametrize("patterns", [("1",), ("*.W",), ("*.b", "2")], ids=str)
def test_what_is_frozen_in_a_small_network_keeps_its_bits(patterns: tuple[str, ...]) -> None:
    start, options = small(), {"optimizer": cp.Momentum(0.05), "l2": 0.1, "max_norm": 0.5}
    found, expected = (fitted(small().freeze(*patterns), engine=e, **options) for e in ("native", "batch"))
    assert relative(found.theta, expected.theta) < SEVERAL_STEPS
    np.testing.assert_array_equal(found.theta == start.theta, expected.theta == start.theta)
    assert np.any(found.theta == start.theta)


def test_sparse_rows_of_a_small_network() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.where(np.abs(X) > 0.8, X, 0.0)
    rows = sparse.csr_matrix(dense)
    np.testing.assert_array_equal(fitted(small(), rows).theta, fitted(small(), dense).theta)
    assert difference(small, rows, sample_weight=WEIGHTS) < SEVERAL_STEPS


# Bits --------------------------------------------------------------------------------------------


class Watch(cp.Callback):
    """Looks at every gradient and at theta after it."""

    every = 1

    def __init__(self) -> None:
        self.gradients: list[np.ndarray] = []
        self.thetas: list[np.ndarray] = []

    def on_gradient(self, run, gradient):
        self.gradients.append(gradient.copy())

    def on_step_end(self, run):
        self.thetas.append(run.network.theta.copy())


@pytest.mark.parametrize("make", [small, wide])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_set
def test_a_look_shows_the_bits_of_training(monkeypatch, isa: str, dtype: str, make: Any) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    for n in (1, 5, 16, 45):
        net, watch = make(dtype=dtype), Watch()
        order = [np.arange(n)]
        options = {"optimizer": cp.SGD(1.0), "epochs": 1, "batch_size": n, "order": order}
        start, y = net.theta.copy(), np.eye(3, dtype=dtype)[np.arange(N) % 3]
        gradient = net.gradient(X[:n].astype(dtype), y[:n], engine="native")
        trace = net.trace(X[:n].astype(dtype), y[:n], engine="native")
        np.testing.assert_array_equal(trace.gradient, gradient)
        fitted(net, X.astype(dtype), y, **options)
        np.testing.assert_array_equal(net.theta, start - gradient)
        watched = fitted(make(dtype=dtype), X.astype(dtype), y, callbacks=watch, **options)
        np.testing.assert_array_equal(watched.theta, net.theta)
        np.testing.assert_array_equal(watch.gradients[0], gradient)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_set
def test_bits_do_not_depend_on_threads_or_watching(monkeypatch, isa: str, dtype: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    monkeypatch.setattr("clearprop.engines.native._PARALLEL_WORK", 0.0)
    for options in ({}, {"l1": 0.01, "l2": 0.1, "max_norm": 1.0}, {"clip_norm": 0.3}):
        found = set()
        for threads, callbacks in (("1", ()), ("2", ()), ("1", Watch())):
            monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)
            net = fitted(small(dtype=dtype), optimizer="adam", eta=0.01, callbacks=callbacks, **options)
            found.add(net.theta.tobytes() + np.array(net.history["cost"]).tobytes())
        assert len(found) == 1, options


def test_two_fits_of_a_small_network_have_the_bits_of_one() -> None:
    whole, net = fitted(small(), epochs=4, optimizer=cp.SGD(0.1)), small()
    for epochs in (1, 3):
        fitted(net, epochs=epochs, optimizer=cp.SGD(0.1))
    np.testing.assert_array_equal(net.theta, whole.theta)


# What is not finite ------------------------------------------------------------------------------


def test_a_small_network_that_diverges_keeps_its_last_finite_parameters() -> None:
    net = cp.Network([cp.Dense(6, "identity"), cp.Dense(1)], n_in=5, seed=0)
    with pytest.raises(cp.errors.DivergenceError):
        net.fit(X, 1e3 * X[:, :1], epochs=9, batch_size=10, optimizer=cp.SGD(1e4), engine="native")
    assert np.all(np.isfinite(net.theta))
