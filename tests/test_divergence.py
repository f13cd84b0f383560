"""When a cost explodes: what is said, and that the parameters are those before the failing step."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.native_cases import needs_native

import clearprop as cp
from clearprop.engines import engines
from clearprop.errors import DataError
from clearprop.training.divergence import first_non_finite

N = 40
RNG = np.random.default_rng(2)
X = RNG.normal(size=(N, 3))
Y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
T = X[:, 0] + 1


class Batches:
    def __iter__(self):
        for start in range(0, N, 8):
            yield X[start : start + 8], T[start : start + 8]


def relu(dtype="float64"):
    return cp.Network([cp.Dense(6, "relu"), cp.Dense(1)], n_in=3, seed=0, dtype=dtype)


def deep_linear(dtype="float64"):
    return cp.Network(
        [cp.Dense(4), cp.Dense(4), cp.Dense(1)], "mean_absolute_error", n_in=3, seed=0, dtype=dtype
    )


def noisy(dtype="float64"):
    layers = [cp.Dense(6), cp.BatchNorm(), cp.Dropout(0.3), cp.Dense(4, "relu"), cp.Dense(1)]
    return cp.Network(layers, n_in=3, seed=0, dtype=dtype)


def residual(dtype="float64"):
    return cp.Network(
        [cp.Residual([cp.Dense(4, "softplus"), cp.Dense()]), cp.Dense(1)], n_in=3, seed=0, dtype=dtype
    )


class StopAfter(cp.Callback):
    every = 1

    def __init__(self, step):
        self.last = step

    def on_step_end(self, run):
        if run.step == self.last:
            run.stop()


SGD = {"optimizer": cp.SGD(1e6), "epochs": 60, "batch_size": 8}
CASES = {
    "mse": (relu, (X, T), SGD),
    "mae": (deep_linear, (X, T), SGD),
    "dropout, batch norm": (noisy, (X, T), SGD),
    "residual": (residual, (X, T), SGD),
    "stream": (relu, (Batches(),), {"optimizer": cp.SGD(1e6), "epochs": 60}),
    "schedule": (
        relu,
        (X, T),
        {**SGD, "schedule": cp.StepDecay(factor=3.0, every=1), "optimizer": cp.SGD(0.05)},
    ),
    "momentum, penalty": (relu, (X, T), {**SGD, "optimizer": cp.Momentum(10.0), "l2": 0.1}),
    "weights": (relu, (X, T), {**SGD, "sample_weight": np.arange(N) + 1.0}),
}


def diverged(net, data, options):
    with pytest.raises(cp.DivergenceError) as caught:
        net.fit(*data, **options)
    found = re.match(
        r"training diverged in epoch (\d+), step (\d+): (.+) of layer ([\w.]+) became NaN or infinite\. "
        r"Likely cause: .+ The parameters are those before that step\.$",
        str(caught.value),
    )
    assert found, str(caught.value)
    return int(found[1]), int(found[2]), found[3], found[4]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_parameters_are_those_before_the_failing_step(case, dtype):
    make, data, options = CASES[case]
    net = make(dtype)
    epoch, step, quantity, layer = diverged(net, data, options)
    assert epoch == (step - 1) // 5 + 1
    assert (
        quantity in {"a", "z", "cost", "delta", "dC_dW", "dC_da", "mean", "variance"} or "after" in quantity
    )
    assert layer == "0" or layer.partition(".")[0] in {str(i) for i in range(1, len(net.layers) + 1)}
    assert np.isfinite(net.theta).all()
    assert np.isfinite(net.buffers).all()
    assert net.theta.dtype == dtype
    twin = make(dtype)
    if step > 1:
        twin.fit(*data, **options, callbacks=StopAfter(step - 1))
    np.testing.assert_array_equal(net.theta, twin.theta)
    np.testing.assert_array_equal(net.buffers, twin.buffers)
    assert net.history.stopped == "failed"
    assert np.isfinite(net.history["cost"]).all() if len(net.history) else True


def test_the_message_names_the_rate():
    with pytest.raises(
        cp.DivergenceError, match=r"the rate eta = 1e\+06 is too high.*Try 0\.1, or clip_norm=1"
    ):
        relu().fit(X, T, **SGD)
    with pytest.raises(cp.DivergenceError, match=r"is too high"):
        relu().fit(X, T, **CASES["schedule"][2])


def test_the_message_names_a_cost_that_does_not_fit_its_activation():
    net = cp.Network([cp.Dense(1)], "binary_cross_entropy", seed=0)
    with pytest.raises(
        cp.DivergenceError,
        match=r"'binary_cross_entropy' or its slope is infinite .*'identity' can reach.*'sigmoid'",
    ):
        net.fit(X, (T > 1).astype(int), optimizer=cp.SGD(0.5), epochs=20)


def test_the_message_names_large_inputs():
    net = cp.Network([cp.Dense(5, "exponential"), cp.Dense(1)], seed=0)
    with pytest.raises(cp.DivergenceError, match=r"epoch 1, step 1: .* of layer [12].*inputs as large as \d"):
        net.fit(1e5 * X, T, optimizer=cp.SGD(1e-3))


def test_a_gradient_that_overflows_is_found():
    net = cp.Network([cp.Dense(1, bias=False)], n_in=1, dtype="float32", seed=0)
    net.theta[:] = 1e18
    epoch, step, _, layer = diverged(net, (np.full((4, 1), 1e15, "float32"), np.zeros(4)), {"epochs": 1})
    assert (epoch, step, layer) == (1, 1, "1")
    assert np.all(net.theta == np.float32(1e18))


def test_early_stopping_does_not_hide_where_it_failed():
    net, twin = relu(), relu()
    _, step, *_ = diverged(
        net, (X, T), {**CASES["schedule"][2], "early_stopping": cp.EarlyStopping(patience=99)}
    )
    twin.fit(X, T, **CASES["schedule"][2], callbacks=StopAfter(step - 1))
    np.testing.assert_array_equal(net.theta, twin.theta)


def test_what_a_callback_breaks_is_not_blamed_on_the_rate():
    class Breaks(cp.Callback):
        every = 1

        def on_gradient(self, run, gradient):
            if run.step == 6:
                gradient[0] = np.nan

    net = relu()
    with pytest.raises(
        cp.DivergenceError, match=r"epoch 2, at or before step \d+: .*a callback \(Breaks\).*after step \d"
    ):
        net.fit(X, T, optimizer="sgd", batch_size=8, callbacks=Breaks())
    assert np.isfinite(net.theta).all()


@needs_native
def test_what_a_callback_breaks_after_a_native_step_is_not_blamed_on_the_rate():
    class Breaks(cp.Callback):
        every = 1

        def on_step_end(self, run):
            if run.step == 6:
                run.network.theta[0] = np.nan

    net = relu()
    with pytest.raises(
        cp.DivergenceError, match=r"epoch 2, after step 6: a callback \(Breaks\) made W of layer 1 NaN"
    ):
        net.fit(X, T, optimizer="sgd", batch_size=8, callbacks=Breaks(), engine="native")
    assert np.isfinite(net.theta).all()


def test_lbfgs_cannot_start_from_an_infinite_cost():
    pytest.importorskip("scipy")
    net = cp.Network([cp.Dense(1, "exponential", bias=False)], "mean_squared_error", n_in=1)
    net.theta[:] = 1e3
    with pytest.raises(
        cp.DivergenceError, match=r"training cannot start: \w+ of layer 1 is NaN or infinite in epoch 1"
    ):
        net.fit(np.ones((3, 1)), np.zeros(3), optimizer="lbfgs")
    assert net.theta == 1e3


def test_parameters_that_are_not_finite_are_refused():
    net = relu()
    net.W[2][0, 1] = np.inf
    with pytest.raises(DataError, match=r"the parameter 2\.W holds NaN or infinity"):
        net.fit(X, T)


def test_training_goes_on_after_a_lower_rate():
    net = relu()
    diverged(net, (X, T), {**SGD, "optimizer": cp.SGD(100.0)})
    net.initialize()
    assert net.fit(X, T, optimizer=cp.SGD(0.05), epochs=30)["cost"][-1] < 0.5


def test_the_first_quantity_is_the_inner_one():
    net = residual()
    net.W["1.body.1"][0, 0] = 1e308
    net.b["1.body.1"][0] = 1e308
    with np.errstate(all="ignore"):
        trace = engines()["batch"].trace(net.model, net.state, X * 1e10, T[:, None])
    assert first_non_finite(trace) == ("1.body.1", "z")
    assert first_non_finite(residual().trace(X, T)) is None


def test_targets_that_are_too_large_are_named_as_the_cause():
    net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(1)], n_in=1, seed=0)
    with pytest.raises(cp.DivergenceError, match="targets as large as"):
        net.fit(np.ones((4, 1)), np.full(4, 1e200), epochs=2)
