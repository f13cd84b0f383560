"""PyTorch's automatic differentiation in float64 as one more oracle: extra, never the only proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.networks import Case, problem, relative

from clearprop.engines import engines
from clearprop.layers import Activation, BatchNorm, Concatenate, Dense, LayerNorm, Residual

torch = pytest.importorskip("torch")
F = torch.nn.functional


def linear(a: Any, tree: Any) -> Any:
    return F.linear(a, tree["W"], tree["b"])


def chain(X: Any, p: Any) -> Any:
    return linear(torch.tanh(linear(F.gelu(linear(X, p[0])), p[1])), p[2])


def residual(X: Any, p: Any) -> Any:
    a = torch.sigmoid(linear(X, p[0]))
    inner, outer = p[1]["body"]
    a = a + linear(F.softplus(linear(a, inner)), outer)
    a = F.layer_norm(a, (5,), p[2]["gamma"], p[2]["beta"], eps=1e-5)
    return linear(a, p[3])


def branches(X: Any, p: Any) -> Any:
    first, second = (p[0][f"branch{i}"] for i in (1, 2))
    a = torch.cat([torch.tanh(linear(X[:, :2], first[0])), F.silu(linear(X[:, 2:], second[0]))], dim=1)
    return linear(F.prelu(a, p[1]["alpha"]), p[2])


def batch_norm(X: Any, p: Any) -> Any:
    a = F.batch_norm(linear(X, p[0]), None, None, p[1]["gamma"], p[1]["beta"], training=True, eps=1e-5)
    return linear(F.selu(a), p[3])


def cross_entropy(z: Any, y: Any) -> Any:
    return F.cross_entropy(z, y)


def binary(z: Any, y: Any) -> Any:
    return F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(y)


def squared(z: Any, y: Any) -> Any:
    return F.mse_loss(z, y)


TWO = Concatenate([Dense(3, "tanh"), Dense(2, "silu")], inputs=[2, 2])
NETWORKS: list[tuple[Case, Callable[..., Any], Callable[..., Any], bool]] = [
    (
        Case("chain", [Dense(6, "gelu"), Dense(5, "tanh"), Dense(3, "softmax")], "cross_entropy"),
        chain,
        cross_entropy,
        False,
    ),
    (
        Case(
            "residual",
            [
                Dense(5, "sigmoid"),
                Residual([Dense(7, "softplus"), Dense()]),
                LayerNorm(),
                Dense(3, "sigmoid"),
            ],
            "binary_cross_entropy",
        ),
        residual,
        binary,
        False,
    ),
    (Case("branches", [TWO, Activation("prelu"), Dense(2)], "mean_squared_error"), branches, squared, False),
    (
        Case("norm", [Dense(4), BatchNorm(), Activation("selu"), Dense(3)], "mean_squared_error"),
        batch_norm,
        squared,
        True,
    ),
]


def tensors(tree: Any) -> Any:
    if isinstance(tree, np.ndarray):
        return torch.tensor(tree, requires_grad=True)
    if isinstance(tree, tuple):
        return tuple(tensors(inner) for inner in tree)
    return {name: tensors(inner) for name, inner in tree.items()}


def flat_gradient(tree: Any) -> list[Any]:
    if isinstance(tree, torch.Tensor):
        return [tree.grad.numpy().reshape(-1)]
    inner = tree.values() if isinstance(tree, dict) else tree
    return [leaf for item in inner for leaf in flat_gradient(item)]


@pytest.mark.parametrize(
    ("case", "network", "cost", "training"), NETWORKS, ids=[row[0].name for row in NETWORKS]
)
def test_gradients_are_those_of_pytorch(case: Case, network: Any, cost: Any, training: bool) -> None:
    for seed in range(3):
        p = problem(case, 6, seed=seed, training=training)
        params, X = tensors(p.state.params), tensors(p.X)
        C = cost(network(X, params), torch.tensor(p.y))
        C.backward()
        trace = engines()["batch"].trace(*p)
        assert abs(trace.cost - C.item()) < 1e-12 * abs(C.item())
        assert relative(trace.gradient, np.concatenate(flat_gradient(params))) < 1e-11
        assert relative(trace[0].dC_da / 6, X.grad.numpy()) < 1e-11
