"""Networks of clearprop as functions of torch tensors: the forward pass alone, with PyTorch's own parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from tests.networks import Problem
from torch.nn import functional as F

from clearprop.costs import Cost
from clearprop.layers import (
    Activation,
    AlphaDropout,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
)

__all__ = ["cost_in_torch", "tensors"]

ACTIVATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "identity": lambda f, z: z,
    "sigmoid": lambda f, z: torch.sigmoid(z),
    "tanh": lambda f, z: torch.tanh(z),
    "scaled_tanh": lambda f, z: 1.7159 * torch.tanh(2 * z / 3),
    "softsign": lambda f, z: F.softsign(z),
    "hard_tanh": lambda f, z: F.hardtanh(z),
    "exponential": lambda f, z: torch.exp(z),
    "relu": lambda f, z: F.relu(z),
    "leaky_relu": lambda f, z: F.leaky_relu(z, f.negative_slope),
    "elu": lambda f, z: F.elu(z, f.alpha),
    "selu": lambda f, z: F.selu(z),
    "gelu": lambda f, z: F.gelu(z),
    "gelu_tanh": lambda f, z: F.gelu(z, approximate="tanh"),
    "silu": lambda f, z: F.silu(z),
    "mish": lambda f, z: F.mish(z),
    "softplus": lambda f, z: F.softplus(z, threshold=1000.0),  # by default linear from 20 on
    "softmax": lambda f, z: torch.softmax(z, dim=-1),
    "increasing": lambda f, z: torch.cumsum(torch.cat([z[:, :1], _softplus(z[:, 1:])], dim=1), dim=1),
    "ordinal": lambda f, z: _ordinal(z),
}


def _softplus(z: Any) -> Any:
    return F.softplus(z, threshold=1000.0)


def _ordinal(z: Any) -> Any:
    """Return the product form of the cumulative logit model, which does not cancel."""
    u = torch.cumsum(torch.cat([z[:, 1:2], _softplus(z[:, 2:])], dim=1), dim=1) - z[:, :1]
    one = torch.ones_like(z[:, :1])
    below, above = torch.cat([torch.sigmoid(u), one], dim=1), torch.cat([one, torch.sigmoid(-u)], dim=1)
    return below * above * torch.cat([one, torch.sigmoid(z[:, 2:]), one], dim=1)


COSTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "binary_cross_entropy": lambda c, a, y: F.binary_cross_entropy(a, y, reduction="none").sum(dim=-1),
    "cross_entropy": lambda c, a, y: -(y * torch.log(a)).sum(dim=-1),
    "focal": lambda c, a, y: _focal(c.gamma, a, y).sum(dim=-1),
    "binary_focal": lambda c, a, y: (_focal(c.gamma, a, y) + _focal(c.gamma, 1 - a, 1 - y)).sum(dim=-1),
    "hinge": lambda c, a, y: F.relu(1 - y * a).sum(dim=-1),
    "squared_hinge": lambda c, a, y: (F.relu(1 - y * a) ** 2).sum(dim=-1),
    "quadratic": lambda c, a, y: ((a - y) ** 2).sum(dim=-1) / 2,
    "mean_squared_error": lambda c, a, y: F.mse_loss(a, y, reduction="none").mean(dim=-1),
    "mean_absolute_error": lambda c, a, y: F.l1_loss(a, y, reduction="none").mean(dim=-1),
    "huber": lambda c, a, y: F.huber_loss(a, y, reduction="none", delta=c.threshold).mean(dim=-1),
    "log_cosh": lambda c, a, y: (torch.logaddexp(a - y, y - a) - math.log(2.0)).mean(dim=-1),
    "pinball": lambda c, a, y: _pinball(c.quantile, y - a).mean(dim=-1),
    "poisson": lambda c, a, y: F.poisson_nll_loss(a, y, log_input=False, eps=0.0, reduction="none").sum(
        dim=-1
    ),
}


def tensors(tree: Any) -> Any:
    """Return a tree of arrays as one of tensors that take gradients."""
    if isinstance(tree, dict):
        return {name: tensors(inner) for name, inner in tree.items()}
    if isinstance(tree, tuple):
        return tuple(tensors(inner) for inner in tree)
    return torch.tensor(tree, dtype=torch.float64, requires_grad=True)


def cost_in_torch(p: Problem, X: Any, params: Any) -> Any:
    """Return the cost C = 1/n sum of w_x C_x as a tensor. X: (n, n_in); params: one tree per layer."""
    buffers = [_plain(tree) for tree in p.state.buffer_tree]
    noise = p.model.draw(p.draws)
    drawn = [_plain(tree) for tree in noise] if noise is not None else [{} for _ in p.model.layers]
    a = _chain(p.model.layers, X, params, buffers, drawn, p.draws is not None)
    y = torch.tensor(p.model.cost.smoothed(p.y), dtype=torch.float64)
    each = _cost(p.model.cost, a, y)
    return (each if p.weights is None else torch.tensor(p.weights) * each).mean()


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _plain(inner) for name, inner in tree.items()}
    return tuple(map(_plain, tree)) if isinstance(tree, tuple) else torch.tensor(tree)


def _cost(cost: Cost, a: Any, y: Any) -> Any:
    return COSTS[cost.name](cost, a, y)


def _focal(gamma: float, a: Any, y: Any) -> Any:
    return -y * (1 - a) ** gamma * torch.log(a)


def _pinball(quantile: Any, d: Any) -> Any:
    q = torch.tensor(quantile, dtype=torch.float64)
    return torch.maximum(q * d, (q - 1) * d)


def _activate(f: Any, z: Any, params: Any) -> Any:
    if f.name == "prelu":
        alpha = params["alpha"]
        return torch.where(z > 0, z, alpha * z)
    if f.name == "per_neuron":
        columns = [_activate(f.neuron(j), z[:, j : j + 1], {}) for j in range(z.shape[1])]
        return torch.cat(columns, dim=1)
    return ACTIVATIONS[f.name](f, z)


def _chain(chain: Any, a: Any, params: Any, buffers: Any, noise: Any, training: bool) -> Any:
    for layer, *rest in zip(chain, params, buffers, noise, strict=True):
        a = _layer(layer, a, *rest, training)
    return a


def _layer(layer: Layer, a: Any, params: Any, buffers: Any, noise: Any, training: bool) -> Any:
    if isinstance(layer, Dense):
        return _activate(layer.activation, F.linear(a, params["W"], params.get("b")), params)
    if isinstance(layer, Activation):
        return _activate(layer.activation, a, params)
    if isinstance(layer, Residual | Concatenate):
        return _parts(layer, a, params, buffers, noise, training)
    if isinstance(layer, BatchNorm):
        mean, variance = (None, None) if training else (buffers["running_mean"], buffers["running_variance"])
        return F.batch_norm(a, mean, variance, params["gamma"], params["beta"], training, eps=layer.epsilon)
    if isinstance(layer, LayerNorm):
        return F.layer_norm(a, (a.shape[1],), params["gamma"], params["beta"], layer.epsilon)
    if isinstance(layer, Dropout | AlphaDropout):
        return _dropped(layer, a, noise) if training and "u" in noise else a
    raise TypeError(f"no translation of {layer!r} into torch. Add one.")


def _dropped(layer: Any, a: Any, noise: Any) -> Any:
    keep, q = (noise["u"] >= layer.rate).to(torch.float64), 1 - layer.rate
    if isinstance(layer, Dropout):
        return a * keep / q
    low = -1.0507009873554805 * 1.6732632423543772  # the value of a selu at minus infinity
    scale = (q + low**2 * q * (1 - q)) ** -0.5
    return scale * torch.where(keep > 0, a, low) - scale * (1 - q) * low


def _parts(layer: Any, a: Any, params: Any, buffers: Any, noise: Any, training: bool) -> Any:
    ends, start = [], 0
    for i, (part, chain) in enumerate(layer.parts().items()):
        given = a
        if isinstance(layer, Concatenate) and layer.inputs is not None:
            given = a[:, start : start + layer.inputs[i]]
            start += layer.inputs[i]
        drawn = noise.get(part, tuple({} for _ in chain))
        ends.append(_chain(chain, given, params[part], buffers[part], drawn, training))
    return sum(ends) if isinstance(layer, Residual) else torch.cat(ends, dim=1)
