"""The native rung misused: sizes of 0 and 1, NaN, denormal numbers, no memory, arrays that do not fit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.native_cases import (
    LABELS,
    SEVERAL_STEPS,
    N,
    X,
    classifier,
    difference,
    fitted,
    needs_native,
    noisy,
    run_alone,
)
from tests.networks import relative

import clearprop as cp
from clearprop.errors import DataError, OptionError, ShapeError

pytestmark = needs_native


# Small and empty ---------------------------------------------------------------------------------


def test_no_rows_are_refused() -> None:
    net = classifier(engine="native")
    before = net.theta.copy()
    for run in (
        lambda: net.fit(X[:0], LABELS[:0]),
        lambda: net.outputs(X[:0]),
        lambda: net.trace(X[:0], LABELS[:0], engine="native"),
    ):
        with pytest.raises(DataError, match="is empty"):
            run()
    np.testing.assert_array_equal(net.theta, before)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("n_in", [1, 2])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "momentum"])
def test_one_of_everything(n: int, n_in: int, width: int, optimizer: str) -> None:
    rows, y = np.linspace(0.5, 1.5, n * n_in).reshape(n, n_in), np.linspace(1, 2, n)

    def make():
        layers = [cp.Dense(width, "tanh"), cp.LayerNorm(), cp.Residual([cp.Dropout(0.2)]), cp.Dense(1)]
        return cp.Network(layers, n_in=n_in, seed=0)

    options = {"optimizer": optimizer, "eta": 0.01, "batch_size": n, "clip_norm": 0.5}
    assert difference(make, rows, y, **options) < SEVERAL_STEPS
    assert make().outputs(rows, engine="native").shape == (n, 1)


def test_networks_without_parameters_in_their_layers() -> None:
    def make():
        return cp.Network([cp.Activation("tanh"), cp.Dense(1, bias=False), cp.Activation("softplus")], n_in=1)

    assert difference(make, X[:, :1], np.abs(X[:, 0])) < SEVERAL_STEPS


def test_a_batch_of_one_example_with_batch_norm_is_refused_as_ever() -> None:
    for options in ({"batch_size": 1}, {"batch_size": N - 1}):
        messages = []
        for engine in ("native", "batch"):
            with pytest.raises(OptionError) as caught:
                noisy().fit(X, LABELS, engine=engine, **options)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    one = [(X[:4], LABELS[:4]), (X[4:5], LABELS[4:5])]
    net = noisy(classes=["a", "b", "c"], engine="native")
    with pytest.raises(ShapeError, match="BatchNorm"):
        net.fit(one, epochs=1)
    assert np.isfinite(net.theta).all()


@pytest.mark.parametrize("batch_size", [2**31, 2**62, 2**63 - 1, 10**30])
def test_batches_larger_than_any_data(batch_size: int) -> None:
    net = fitted(noisy(), batch_size=batch_size)
    np.testing.assert_array_equal(net.theta, fitted(noisy(), batch_size=N).theta)


def test_the_largest_seed() -> None:
    assert difference(lambda: noisy(seed=2**64 - 1)) < SEVERAL_STEPS


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number_is_refused(wrong: float, dtype: str) -> None:
    bad = X.copy()
    bad[7, 3] = wrong
    net = classifier(engine="native", dtype=dtype)
    before = net.theta.copy()
    for run in (
        lambda: net.fit(bad, LABELS),
        lambda: net.outputs(bad),
        lambda: net.predict(bad[7:8]),
        lambda: net.trace(bad, LABELS, engine="native"),
    ):
        with pytest.raises(DataError, match=r"row [70]"):
            run()
    np.testing.assert_array_equal(net.theta, before)


def test_a_parameter_that_is_no_number_is_seen_in_the_outputs() -> None:
    net = classifier(engine="native")
    net.W[1][0, 0] = np.nan
    assert np.isnan(net.outputs(X)).all()
    assert np.isnan(net.outputs(X, engine="batch")).all()


@pytest.mark.parametrize(("dtype", "tiny"), [("float32", 1e-40), ("float64", 1e-310)])
def test_denormal_numbers_count_as_zero(dtype: str, tiny: float) -> None:
    net = cp.Network([cp.Dense(20, "relu"), cp.Dense(2)], n_in=5, dtype=dtype, seed=0, engine="native")
    net.W[1][:] = tiny
    smallest = np.finfo(dtype).tiny
    rows = X.astype(dtype)
    for inputs in (rows, np.full_like(rows, tiny)):
        exact = net.outputs(inputs, engine="batch")
        np.testing.assert_allclose(net.outputs(inputs), exact, rtol=0, atol=1000 * smallest)
    fitted(net, rows, X[:, :2].astype(dtype), optimizer=cp.SGD(0.1))
    twin = cp.Network([cp.Dense(20, "relu"), cp.Dense(2)], n_in=5, dtype=dtype, seed=0)
    twin.W[1][:] = 0.0
    fitted(twin, rows, X[:, :2].astype(dtype), optimizer=cp.SGD(0.1))
    np.testing.assert_array_equal(net.theta, twin.theta)


def keeps_denormals() -> bool:
    x = np.array([1e-40, 2e-40], np.float32)
    y = np.array([1e-310, 2e-310])
    return bool(np.all(x * np.float32(1) != 0) and np.all(y * 1.0 != 0) and np.float32(1e-30) * 1e-10 != 0)


def test_denormal_numbers_are_kept_outside_the_engine(monkeypatch) -> None:
    monkeypatch.setenv("CLEARPROP_NUM_THREADS", "2")
    kept = []

    class Look(cp.Callback):
        every = 1

        def on_gradient(self, run, gradient):
            kept.append(keeps_denormals())
            if run.step == 4:
                raise RuntimeError("enough")

        def on_step_end(self, run):
            kept.append(keeps_denormals())

    assert keeps_denormals()
    fitted(classifier())
    assert keeps_denormals()
    net = classifier(engine="native")
    with pytest.raises(RuntimeError, match="enough"):
        net.fit(X, LABELS, batch_size=10, callbacks=Look())
    assert kept == [True] * 9
    assert keeps_denormals()
    net.outputs(X)
    net.trace(X, LABELS, engine="native")
    assert keeps_denormals()


# Memory ------------------------------------------------------------------------------------------

NO_MEMORY = """
import resource
import numpy as np, clearprop as cp
x = np.zeros((4, 8), np.float32)
layers = [cp.Dense(8, "tanh"), cp.Dense(4000), cp.Dense(1)]
net = cp.Network(layers, n_in=8, dtype="float32", seed=0, engine="native")
expected = net.outputs(x)
many = np.lib.stride_tricks.as_strided(x, (30000, 8), (0, 4))
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), -1))
for run in (
    lambda: net.fit(many, np.zeros(30000), batch_size=30000, epochs=1),
    lambda: net.trace(many, np.zeros(30000), engine="native"),
):
    try:
        run()
    except MemoryError as error:
        print("MemoryError")
assert np.array_equal(net.outputs(x), expected)
net.fit(x, np.zeros(4), epochs=1)
print("goes on")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are set as on Linux")
def test_without_memory_there_is_an_exception_and_then_it_goes_on() -> None:
    assert run_alone(NO_MEMORY, CLEARPROP_NUM_THREADS="1").split("\n") == [
        "MemoryError", "MemoryError", "goes on", "",
    ]  # fmt: skip


def test_outputs_of_more_rows_than_fit_at_once() -> None:
    net = cp.Network([cp.Dense(3, "tanh"), cp.Dense(1)], n_in=5, seed=0, engine="native")
    many = np.tile(X, (500, 1))
    whole = net.outputs(many)
    assert relative(whole, np.tile(net.outputs(X), (500, 1))) < 1e-13
