"""The open record of a pass: names, fields, shapes, addresses, errors, and a step worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.networks import Case, problem, relative

from clearprop.engines import engines
from clearprop.errors import UnknownNameError
from clearprop.layers import Dense, Dropout, LayerNorm, Residual
from clearprop.model import Model, State

RUNGS = list(engines())
each_rung = pytest.mark.parametrize("engine", RUNGS)

DEEP = Case(
    "deep",
    [
        Dense(5, "tanh"),
        Dropout(0.5),
        Residual([Dense(6, "prelu"), Dense()]),
        LayerNorm(),
        Dense(3, "softmax"),
    ],
    "cross_entropy",
)


def mazur() -> tuple[Model, State, np.ndarray, np.ndarray]:
    """Mazur, "A step by step backpropagation example": two inputs, two hidden neurons, two outputs."""
    model = Case("mazur", [Dense(2, "sigmoid"), Dense(2, "sigmoid")], "quadratic", n_in=2).model()
    w1_to_w4, b1 = [0.15, 0.20, 0.25, 0.30], [0.35, 0.35]
    w5_to_w8, b2 = [0.40, 0.45, 0.50, 0.55], [0.60, 0.60]
    state = State(model, np.array([*w1_to_w4, *b1, *w5_to_w8, *b2]), np.zeros(0))
    return model, state, np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])


# --- A step worked by hand


@each_rung
def test_a_step_worked_by_hand(engine: str) -> None:
    trace = engines()[engine].trace(*mazur())
    # z1 = 0.15 * 0.05 + 0.20 * 0.10 + 0.35 = 0.3775, a1 = 1 / (1 + exp(-0.3775)) = 0.593269992
    # z2 = 0.25 * 0.05 + 0.30 * 0.10 + 0.35 = 0.3925, a2 = 0.596884378
    assert np.allclose(trace[1].z, [[0.3775, 0.3925]], rtol=1e-15)
    assert np.allclose(trace[1].a, [[0.593269992, 0.596884378]], atol=5e-10)
    # z1 = 0.40 * 0.593269992 + 0.45 * 0.596884378 + 0.60 = 1.105905967, a1 = 0.751365070
    # z2 = 0.50 * 0.593269992 + 0.55 * 0.596884378 + 0.60 = 1.224921404, a2 = 0.772928465
    assert np.allclose(trace[2].z, [[1.105905967, 1.224921404]], atol=5e-10)
    assert np.allclose(trace[2].a, [[0.751365070, 0.772928465]], atol=5e-10)
    # C = 1/2 (0.01 - 0.751365070)^2 + 1/2 (0.99 - 0.772928465)^2 = 0.274811083 + 0.023560026
    assert round(trace.cost, 9) == 0.298371109
    # BP1: delta_1 = (0.751365070 - 0.01) * 0.751365070 * (1 - 0.751365070) = 0.138498562
    #      delta_2 = (0.772928465 - 0.99) * 0.772928465 * (1 - 0.772928465) = -0.038098237
    assert np.allclose(trace[2].delta, [[0.138498562, -0.038098237]], atol=5e-10)
    # BP4: dC/dw5 = delta_1 a1 = 0.138498562 * 0.593269992; dC/dw6 = 0.138498562 * 0.596884378
    assert np.allclose(trace[2].dC_dW[0], [0.082167041, 0.082667628], atol=5e-10)
    assert round(float(trace[2].dC_dW[0, 0]), 9) == 0.082167041
    # BP3: dC/db = delta
    assert np.array_equal(trace[2].dC_db, trace[2].delta[0])
    # BP2: dC/da1 = 0.40 * 0.138498562 + 0.50 * (-0.038098237) = 0.036350306
    #      delta_1 = 0.036350306 * 0.593269992 * (1 - 0.593269992) = 0.008771355
    assert round(float(trace[1].dC_da[0, 0]), 9) == 0.036350306
    assert round(float(trace[1].delta[0, 0]), 9) == 0.008771355
    # BP4: dC/dw1 = 0.008771355 * 0.05
    assert round(float(trace[1].dC_dW[0, 0]), 9) == 0.000438568


@each_rung
def test_the_cost_after_one_step_with_the_biases_held_fixed(engine: str) -> None:
    model, state, X, y = mazur()
    weights = model.layout.mask(lambda entry: entry.name == "W")
    theta = state.theta - 0.5 * weights * engines()[engine].gradient(model, state, X, y).gradient
    # w5 = 0.40 - 0.5 * 0.082167041 = 0.358916480, w1 = 0.15 - 0.5 * 0.000438568 = 0.149780716
    assert round(float(theta[6]), 9) == 0.35891648
    assert round(float(theta[0]), 9) == 0.149780716
    after = engines()[engine].trace(model, State(model, theta, state.buffers), X, y)
    assert math.isclose(after.cost, 0.29102777369359933, rel_tol=1e-14)


# --- Names, fields and shapes


@each_rung
def test_every_quantity_has_its_name_and_shape(engine: str) -> None:
    trace = engines()[engine].trace(*problem(DEEP, 7, training=True))
    shapes = {
        address: {name: np.shape(getattr(layer, name)) for name in layer.fields}
        for address, layer in trace.layers.items()
        if address in ("0", "1", "2", "3.body.1", "4")
    }
    norm = shapes.pop("4")
    assert shapes == {
        "0": {"a": (7, 4), "dC_da": (7, 4)},
        "1": {
            "a_prev": (7, 4),
            "z": (7, 5),
            "a": (7, 5),
            "delta": (7, 5),
            "dC_dW": (5, 4),
            "dC_db": (5,),
            "dC_da_prev": (7, 4),
            "dC_da": (7, 5),
        },
        "2": {"a_prev": (7, 5), "mask": (7, 5), "a": (7, 5), "dC_da": (7, 5), "dC_da_prev": (7, 5)},
        "3.body.1": {
            "a_prev": (7, 5),
            "z": (7, 6),
            "a": (7, 6),
            "delta": (7, 6),
            "dC_dW": (6, 5),
            "dC_db": (6,),
            "dC_da_prev": (7, 5),
            "dC_dalpha": (6,),
            "dC_da": (7, 6),
        },
    }
    assert {"mean": (7, 1), "variance": (7, 1), "x_hat": (7, 5), "dC_dgamma": (5,)}.items() <= norm.items()
    assert (trace.a.shape, trace.costs.shape, trace.y.shape) == ((7, 3), (7,), (7, 3))
    assert (trace.engine, trace.training, trace.weights) == (engine, True, None)


@each_rung
def test_per_example_gradients_are_stacks(engine: str) -> None:
    p = problem(DEEP, 7, weighted=True)
    trace = engines()[engine].trace(*p)
    assert trace[1].per_example.dC_dW.shape == (7, 5, 4)
    assert trace[1].per_example.dC_db.shape == (7, 5)
    assert trace["3.body.1"].per_example.dC_dalpha.shape == (7, 6)
    assert trace.per_example_gradient.shape == (7, p.state.theta.size)
    for address in ("1", "3.body.1", "3.body.2", "4", "5"):
        layer = trace[address]
        for name in layer.layer.parameters():
            stack = getattr(layer.per_example, f"dC_d{name}")
            assert relative(stack.mean(axis=0), getattr(layer, f"dC_d{name}")) < 1e-12
    with pytest.raises(AttributeError, match=r"per_example has no 'dC_dw'\. Did you mean 'dC_dW'"):
        _ = trace[1].per_example.dC_dw


def test_the_layers_hang_together() -> None:
    trace = engines()["batch"].trace(*problem(DEEP, 7, training=True, weighted=True))
    for i in range(1, len(trace)):
        assert trace[i].a_prev is trace[i - 1].a
        assert np.array_equal(trace[i - 1].dC_da, trace[i].dC_da_prev)
    assert np.array_equal(trace["3.body.1"].a, trace["3.body.2"].a_prev)
    assert np.array_equal(trace["3.body.2"].dC_da, trace[3].dC_da)
    assert trace.a is trace[5].a


def test_weighted_costs() -> None:
    p = problem(DEEP, 7, weighted=True)
    trace = engines()["batch"].trace(*p)
    assert math.isclose(trace.cost, np.mean(p.weights * trace.costs), rel_tol=1e-15)
    plain = engines()["batch"].trace(*p._replace(weights=None))
    assert np.array_equal(plain.costs, trace.costs)
    assert math.isclose(plain.cost, plain.costs.mean(), rel_tol=1e-15)
    assert relative(trace[5].delta, p.weights[:, None] * plain[5].delta) < 1e-14


# --- Asking


def test_addresses() -> None:
    trace = engines()["batch"].trace(*problem(DEEP, 3))
    assert list(trace.layers) == ["0", "1", "2", "3", "3.body.1", "3.body.2", "4", "5"]
    assert trace["3.body.1"].address == "3.body.1"
    assert trace[1] is trace["1"]
    assert trace[-1] is trace[5]
    assert len(trace) == 6
    assert [layer.address for layer in trace] == ["0", "1", "2", "3", "4", "5"]
    assert trace[0].layer is None
    assert trace[0].per_example.gradients == {}


@pytest.mark.parametrize("address", [6, -7, "3.bdy.1", "0.1"])
def test_an_address_that_is_not_there(address: int | str) -> None:
    trace = engines()["batch"].trace(*problem(DEEP, 3))
    with pytest.raises(UnknownNameError) as caught:
        _ = trace[address]
    assert f"there is no layer {address!r}." in str(caught.value)
    assert str(caught.value).endswith("Layers: 0, 1, 2, 3, 3.body.1, 3.body.2, 4, 5.")
    if address == "3.bdy.1":
        assert "Did you mean '3.body.1'?" in str(caught.value)


def test_a_name_that_is_not_there() -> None:
    trace = engines()["batch"].trace(*problem(DEEP, 3))
    with pytest.raises(
        AttributeError, match=r"layer 1 has no 'dC_dw'\. Did you mean 'dC_dW'\? It has: 'a_prev', 'z'"
    ):
        _ = trace[1].dC_dw
    with pytest.raises(AttributeError, match="layer 2 has no 'delta'"):
        _ = trace[2].delta
    with pytest.raises(AttributeError, match="layer 0 has no 'z'"):
        _ = trace[0].z
    assert not hasattr(trace[1], "__array__")


def test_repr() -> None:
    trace = engines()["batch"].trace(*mazur())
    assert repr(trace) == (
        "<trace of 1 examples on batch, cost 0.298371\n"
        "  <layer 0 input: a(1, 2), dC_da(1, 2)>\n"
        "  <layer 1 Dense: a_prev(1, 2), z(1, 2), a(1, 2), delta(1, 2), dC_dW(2, 2), dC_db(2,), "
        "dC_da_prev(1, 2), dC_da(1, 2)>\n"
        "  <layer 2 Dense: a_prev(1, 2), z(1, 2), a(1, 2), delta(1, 2), dC_dW(2, 2), dC_db(2,), "
        "dC_da_prev(1, 2), dC_da(1, 2)>>"
    )
