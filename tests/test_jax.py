"""The mathematics of `batch` runs unchanged on jax.numpy under jax.jit, and agrees with jax.grad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.networks import Case, Problem, covering, problem, relative, smooth_problem

from clearprop.engines import engines, forward_backward
from clearprop.layers import BatchNorm, Dense, Dropout

jax = pytest.importorskip("jax")
jnp = jax.numpy

ZOO = covering()  # compiling takes most of the time
RANDOM = [case for case in ZOO if case.model().is_random or case.model().couples_examples]
each_case = pytest.mark.parametrize("case", ZOO, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def on_jax(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def jitted_pass(p: Problem) -> tuple[Any, Any]:
    """Return ∂C/∂theta and the gradient with respect to the inputs, all of it traced by jax.jit."""
    model, training, noise = p.model, p.draws is not None, on_jax(p.model.draw(p.draws))

    @jax.jit
    def run(theta: Any, buffers: Any, X: Any, y: Any, weights: Any) -> tuple[Any, Any]:
        params, kept = model.layout.views(theta), model.buffer_layout.views(buffers)
        _, backward = forward_backward(model, params, kept, X, y, weights, noise, training)
        trees = [layer.gradients(record) for layer, record in zip(model.layers, backward, strict=True)]
        return model.layout.flatten(trees), backward[0].dC_da_prev

    return run(*on_jax((p.state.theta, p.state.buffers, p.X, p.y)), on_jax(p.weights))


def automatic(p: Problem) -> tuple[Any, Any]:
    """Return the same by automatic differentiation of the forward pass."""
    model, training, noise = p.model, p.draws is not None, on_jax(p.model.draw(p.draws))
    y, weights = on_jax(p.y), on_jax(p.weights)
    buffers = model.buffer_layout.views(on_jax(p.state.buffers))

    def cost(theta: Any, X: Any) -> Any:
        params = model.layout.views(theta)
        last = forward_backward(model, params, buffers, X, y, weights, noise, training).forward[-1]
        each = model.costs(last, y)
        return jnp.mean(each if weights is None else weights * each)

    by_theta, by_X = jax.jit(jax.grad(cost, argnums=(0, 1)))(jnp.asarray(p.state.theta), jnp.asarray(p.X))
    return by_theta, by_X * len(p.X)


def same(p: Problem) -> None:
    trace = engines()["batch"].trace(*p)
    gradient, dC_dX = jitted_pass(p)
    assert isinstance(dC_dX, jax.Array)
    assert gradient.dtype == dC_dX.dtype == np.float64 or not gradient.size
    assert relative(gradient, trace.gradient) < 1e-12
    assert relative(dC_dX, trace[0].dC_da) < 1e-12


@each_case
def test_the_batch_mathematics_runs_under_jit(case: Case) -> None:
    same(problem(case, 5, weighted=True))


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
def test_training_passes_run_under_jit(case: Case) -> None:
    same(problem(case, 5, training=True))


@each_case
def test_backpropagation_equals_automatic_differentiation(case: Case) -> None:
    p = smooth_problem(case, 5, weighted=True)
    trace = engines()["batch"].trace(*p)
    gradient, dC_dX = automatic(p)
    assert relative(trace.gradient, gradient) < 1e-12
    assert relative(trace[0].dC_da, dC_dX) < 1e-12


def test_automatic_differentiation_of_a_training_pass() -> None:
    case = Case("norm", [Dense(4, "tanh"), BatchNorm(), Dropout(0.3), Dense(3, "softmax")], "cross_entropy")
    p = problem(case, 6, training=True)
    trace = engines()["batch"].trace(*p)
    gradient, dC_dX = automatic(p)
    assert relative(trace.gradient, gradient) < 1e-12
    assert relative(trace[0].dC_da, dC_dX) < 1e-12


@pytest.mark.parametrize("name", ["hidden-gelu", "layer_norm-inside", "nested"])
def test_float32_stays_float32_under_jit(name: str) -> None:
    (case,) = (case for case in ZOO if case.name == name)
    gradient, dC_dX = jitted_pass(problem(case, 5, weighted=True, dtype=np.float32))
    assert gradient.dtype == dC_dX.dtype == np.float32
