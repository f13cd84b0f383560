"""The native rung leaves out products with zeros; nothing but the time shows it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tests.native_cases import SEVERAL_STEPS, needs_native
from tests.networks import relative

import clearprop as cp
from clearprop.compiled import native

pytestmark = needs_native

ISAS = list(native.instruction_sets()) if native is not None else []
RNG = np.random.default_rng(5)
N, N_IN = 200, 150
ETA = 0.5
"""A power of two: theta - eta g is rounded once, as in the engine."""
Y = np.eye(10)[RNG.integers(0, 10, N)]


def pictures(share: float) -> np.ndarray:
    """Return rows with a share of nonzeros, in runs, as the pixels of a drawing lie."""
    runs = np.repeat(RNG.random((N, N_IN // 5)) < share, 5, axis=1)
    return np.where(runs, RNG.normal(size=(N, N_IN)), 0.0)


def categories() -> np.ndarray:
    """Return indicators of three categories of 50 levels each."""
    X = np.zeros((N, N_IN))
    for first in range(0, N_IN, 50):
        X[np.arange(N), first + RNG.integers(0, 50, N)] = 1.0
    return X


INPUTS = {
    "pictures": pictures(0.2),
    "half": pictures(0.5),
    "dense": pictures(1.1),
    "categories": categories(),
    "nothing": np.zeros((N, N_IN)),
    "mixed rows": np.where(np.arange(N)[:, None] % 3 == 0, pictures(1.1), pictures(0.1)),
}


def chain(dtype: str = "float64") -> cp.Network:
    layers = [
        cp.Dense(70, "relu"),
        cp.Dropout(0.4),
        cp.Dense(97, "relu"),
        cp.Residual([cp.Dense(97, "relu"), cp.Dense(97)]),
        cp.Dense(33, "relu"),
        cp.Dense(10, "softmax"),
    ]
    return cp.Network(layers, n_in=N_IN, seed=3, dtype=dtype)


def plain(dtype: str) -> cp.Network:
    layers = [cp.Dense(80, "relu"), cp.Dense(80, "relu"), cp.Dense(10, "softmax")]
    return cp.Network(layers, n_in=N_IN, seed=1, dtype=dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("rows", [1, 2, 4, 24, 25, 130])
def test_a_pass_has_the_quantities_of_the_batch_rung(monkeypatch, isa: str, inputs: str, rows: int) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    net, X, y = chain(), INPUTS[inputs][:rows], Y[:rows]
    want, got = (net.trace(X, y, engine=engine) for engine in ("batch", "native"))
    for layer in range(1, len(net.model.layers) + 1):
        assert relative(got[layer].a, want[layer].a) < 1e-12
    assert relative(net.gradient(X, y, engine="native"), net.gradient(X, y, engine="batch")) < 1e-12
    assert relative(net.outputs(X), want[len(net.model.layers)].a) < 1e-12


@pytest.mark.parametrize("optimizer", [cp.SGD(0.1), cp.Adam(0.01), cp.RMSprop(0.01)], ids=str)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_training_is_that_of_the_batch_rung(inputs: str, batch_size: int, optimizer: cp.Optimizer) -> None:
    thetas = []
    for engine in ("batch", "native"):
        net = cp.Network(
            [cp.Dense(60, "relu"), cp.Dense(40, "relu"), cp.Dense(10, "softmax")], n_in=N_IN, seed=1
        )
        rows = slice(0, 12 * batch_size) if batch_size < 16 else slice(None)
        net.fit(
            INPUTS[inputs][rows], Y[rows], optimizer=optimizer, epochs=1, batch_size=batch_size, engine=engine
        )
        thetas.append(net.theta.copy())
    assert relative(thetas[1], thetas[0]) < SEVERAL_STEPS


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inputs", ["pictures", "mixed rows", "categories"])
def test_the_same_bits_on_any_number_of_threads(monkeypatch, isa: str, dtype: str, inputs: str) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    X = np.tile(INPUTS[inputs], (4, 4)).astype(dtype)
    sums = set()
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("CLEARPROP_NUM_THREADS", threads)
        layers = [cp.Dense(200, "relu"), cp.Dense(130, "relu"), cp.Dense(10, "softmax")]
        net = cp.Network(layers, n_in=X.shape[1], seed=1, dtype=dtype)
        net.fit(X, np.tile(Y, (4, 1)), optimizer=cp.Adam(1e-3), epochs=1, batch_size=160)
        sums.add(hashlib.sha256(net.theta.tobytes() + net.outputs(X).tobytes()).hexdigest())
    assert len(sums) == 1


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("rows", [1, 2, 3, 16, 64])
def test_a_trace_has_the_bits_of_training(monkeypatch, isa: str, dtype: str, inputs: str, rows: int) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    net = plain(dtype)
    X, y = INPUTS[inputs], Y
    gradient = net.gradient(X[:rows], y[:rows], engine="native")
    before = net.theta.copy()
    net.fit(X, y, optimizer=cp.SGD(ETA), epochs=1, batch_size=rows, order=[np.arange(rows)])
    assert np.array_equal(net.theta, before - ETA * gradient)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_of_one_row_have_the_bits_of_one_gradient_after_the_other(
    monkeypatch, isa: str, dtype: str
) -> None:
    monkeypatch.setenv("CLEARPROP_ISA", isa)
    dense, sparse = INPUTS["dense"], INPUTS["pictures"]
    X = np.where(np.arange(N)[:, None] % 2 == 0, dense, sparse)[:12]
    assert [bool(np.count_nonzero(row) > N_IN / 2) for row in X] == [True, False] * 6
    net, twin, eta = plain(dtype), plain(dtype), ETA / 64
    for x, y in zip(X, Y, strict=False):
        twin.theta[:] -= eta * twin.gradient(x[None], y[None], engine="native")
    net.fit(X, Y[:12], optimizer=cp.SGD(eta), epochs=1, batch_size=1, shuffle=False, engine="native")
    assert np.array_equal(net.theta, twin.theta)


def test_weights_of_inputs_that_are_always_zero_follow_momentum_and_decay() -> None:
    X, y = INPUTS["pictures"].copy(), Y
    X[:, :50] = 0.0
    net = cp.Network([cp.Dense(60, "relu"), cp.Dense(10, "softmax")], n_in=N_IN, seed=1)
    start = net.W[1][:, :50].copy()
    net.fit(X, y, optimizer=cp.SGD(0.1), epochs=1, batch_size=50)
    assert np.array_equal(net.W[1][:, :50], start)
    net.fit(X, y, optimizer=cp.AdamW(0.1, weight_decay=0.1), epochs=1, batch_size=200)
    assert np.allclose(net.W[1][:, :50], start * (1 - 0.1 * 0.1), rtol=1e-14)


def test_a_parameter_that_is_no_number_shows_where_its_input_is_not_zero() -> None:
    net = cp.Network([cp.Dense(60, "relu"), cp.Dense(10, "softmax")], n_in=N_IN, seed=1)
    X = INPUTS["categories"][:64].copy()
    X[:, 0] = 0.0
    net.W[1][:, 0] = np.nan
    assert np.isfinite(net.outputs(X)).all()
    X[7, 0] = 1.0
    assert np.isnan(net.outputs(X)[7]).all()
