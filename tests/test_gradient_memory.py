"""A gradient put into given memory is the gradient that is returned in fresh memory, on every rung."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.engines import engines
from clearprop.model import Draws, Gradient

BODY = [cp.Dense(4, "prelu"), cp.LayerNorm(), cp.Dense(2)]
NETWORKS = {
    "chain": [cp.Dense(5, "sigmoid"), cp.Dense(3, "softmax")],
    "unfused": [cp.Dense(5, "prelu", bias=False), cp.Dense(3, "sigmoid")],
    "norms": [cp.Dense(5), cp.BatchNorm(), cp.Activation("relu"), cp.Dropout(0.5), cp.Dense(3)],
    "nested": [cp.Dense(4, "tanh"), cp.Residual([cp.Concatenate([BODY, []]), cp.Dense()]), cp.Dense(3)],
}


@pytest.mark.parametrize("engine", list(engines()))
@pytest.mark.parametrize("name", list(NETWORKS))
def test_same_bits_and_used_again(name: str, engine: str) -> None:
    network = cp.Network(NETWORKS[name], n_in=4, seed=3)
    rung, training = engines()[engine], name != "norms" or engine in ("batch", "graph")
    memory = Gradient(network.model, np.float64)
    for step in range(3):
        rng = np.random.default_rng(step)
        X, y = rng.normal(size=(6, 4)), np.eye(3)[rng.integers(0, 3, 6)]
        draws = Draws(0, step, np.arange(6)) if training else None
        fresh = rung.gradient(network.model, network.state, X, y, None, draws).gradient
        placed = rung.gradient(network.model, network.state, X, y, None, draws, memory).gradient
        np.testing.assert_array_equal(placed, fresh)
        assert engine != "batch" or placed is memory.flat


def test_only_the_memory_is_written_to() -> None:
    network = cp.Network(NETWORKS["chain"], n_in=4, seed=3)
    X, y = np.ones((2, 4)), np.eye(3)[:2]
    theta, before = network.theta.copy(), (X.copy(), y.copy())
    engines()["batch"].gradient(network.model, network.state, X, y, out=Gradient(network.model, np.float64))
    np.testing.assert_array_equal(network.theta, theta)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
