"""The `example` rung: one example at a time, with matrix-vector and outer products. Nielsen's form.

Each layer's equations for one example x: z = W a_prev + b, a = f(z), and backwards with
delta = ∂C_x/∂z. The gradients of the examples are added up in the order of the batch and divided
by n, so the result is bit for bit that of any program that works through a mini-batch so. Nothing
of `clearprop.layers` is called but its records: an independent statement of the same mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, ClassVar

import numpy as np

from clearprop.arrays import Array
from clearprop.engines.base import register_engine
from clearprop.engines.one_by_one import (
    OneByOne,
    backward_chain,
    backward_parts,
    forward_chain,
    forward_parts,
    unknown_layer,
)
from clearprop.layers import (
    Activation,
    ActivationBackward,
    ActivationForward,
    AlphaDropout,
    BatchNorm,
    CombinatorBackward,
    CombinatorForward,
    Concatenate,
    Dense,
    DenseBackward,
    DenseForward,
    Dropout,
    DropoutBackward,
    DropoutForward,
    Layer,
    LayerNorm,
    NormBackward,
    NormForward,
    Residual,
    Tree,
)
from clearprop.model import Model

__all__ = ["ExampleEngine", "backward", "forward", "from_delta"]


@singledispatch
def forward(layer: Layer, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    """Return the forward record of one layer for one example. a_prev: (n_in,)."""
    return unknown_layer(layer)


@singledispatch
def backward(layer: Layer, record: Any, dC_da: Array, params: Tree) -> Any:
    """Return the backward record of one layer for one example. dC_da: (n_out,)."""
    return unknown_layer(layer)


@singledispatch
def from_delta(layer: Layer, record: Any, delta: Array, params: Tree, dC_dparams: Any) -> Any:
    """Return the backward record of a layer with an activation, given delta = ∂C_x/∂z, (n_out,)."""
    return unknown_layer(layer)


# --- Dense and Activation


@forward.register(Dense)
def _dense_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    z = params["W"] @ a_prev
    if layer.bias:
        z = z + params["b"]
    return DenseForward(a_prev, z, layer.activation.forward(z, params))


@forward.register(Activation)
def _activation_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    return ActivationForward(a_prev, a_prev, layer.activation.forward(a_prev, params))


@backward.register(Dense)
@backward.register(Activation)
def _owner_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    delta, dC_dparams = layer.activation.backward(record.z, record.a, dC_da, params)  # delta = dC_da ⊙ f'(z)
    return from_delta(layer, record, delta, params, dC_dparams)


@from_delta.register(Dense)
def _dense_from_delta(layer: Any, record: Any, delta: Array, params: Tree, dC_dparams: Any) -> Any:
    dC_db = delta if layer.bias else None  # BP3
    dC_dW = np.outer(delta, record.a_prev)  # BP4
    dC_da_prev = params["W"].T @ delta  # BP2: the layer before adds ⊙ f'(z)
    return DenseBackward(delta, dC_dW, dC_db, dC_da_prev, dC_dparams, 1)


@from_delta.register(Activation)
def _activation_from_delta(layer: Any, record: Any, delta: Array, params: Tree, dC_dparams: Any) -> Any:
    return ActivationBackward(delta, delta, dC_dparams, 1)


# --- Dropout


@forward.register(Dropout)
def _dropout_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    if not noise:
        return DropoutForward(a_prev, None, a_prev)
    mask = (noise["u"] >= layer.rate).astype(a_prev.dtype) / (1.0 - layer.rate)
    return DropoutForward(a_prev, mask, mask * a_prev)


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772  # what SELU tends to at -∞


@forward.register(AlphaDropout)
def _alpha_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    if not noise:
        return DropoutForward(a_prev, None, a_prev)
    q = 1.0 - layer.rate
    A = (q + SELU_FLOOR**2 * q * layer.rate) ** -0.5
    keep = noise["u"] >= layer.rate
    a = A * (np.where(keep, a_prev, SELU_FLOOR) - layer.rate * SELU_FLOOR)
    return DropoutForward(a_prev, keep.astype(a_prev.dtype) * A, a)


@backward.register(Dropout)
@backward.register(AlphaDropout)
def _dropout_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    return DropoutBackward(dC_da, dC_da if record.mask is None else record.mask * dC_da)


# --- Normalisation: BatchNorm in inference, with running statistics; LayerNorm with the example's own


@forward.register(BatchNorm)
def _batch_norm_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    mean, variance = buffers["running_mean"], buffers["running_variance"]
    x_hat = (a_prev - mean) / np.sqrt(variance + layer.epsilon)
    return NormForward(a_prev, mean, variance, x_hat, params["gamma"] * x_hat + params["beta"], False)


@backward.register(BatchNorm)
def _batch_norm_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    dC_dx_hat = params["gamma"] * dC_da
    dC_da_prev = dC_dx_hat / np.sqrt(record.variance + layer.epsilon)
    return NormBackward(dC_da, dC_da * record.x_hat, dC_da, dC_dx_hat, dC_da_prev)


@forward.register(LayerNorm)
def _layer_norm_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    mean = a_prev.mean(keepdims=True)
    centred = a_prev - mean
    variance = np.atleast_1d(centred @ centred / layer.n_in)
    x_hat = centred / np.sqrt(variance + layer.epsilon)
    return NormForward(a_prev, mean, variance, x_hat, params["gamma"] * x_hat + params["beta"], True)


@backward.register(LayerNorm)
def _layer_norm_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    n, spread = layer.n_in, np.sqrt(record.variance + layer.epsilon)
    centred = record.a_prev - record.mean
    dC_dx_hat = params["gamma"] * dC_da
    # a_prev_j acts on x_hat_j itself, and on every x_hat through the variance and through the mean.
    dC_dvariance = -0.5 * (dC_dx_hat @ centred) / spread**3
    dC_dmean = -dC_dx_hat.sum() / spread
    dC_da_prev = dC_dx_hat / spread + dC_dvariance * 2.0 * centred / n + dC_dmean / n
    return NormBackward(dC_da, dC_da * record.x_hat, dC_da, dC_dx_hat, dC_da_prev)


# --- Combinators


@forward.register(Residual)
def _residual_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    records = forward_parts(forward, layer, dict.fromkeys(layer.parts(), a_prev), params, buffers, noise)
    around = records["shortcut"][-1].a if layer.shortcut else a_prev
    return CombinatorForward(a_prev, records, records["body"][-1].a + around)


@backward.register(Residual)
def _residual_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    records = backward_parts(backward, layer, record, dict.fromkeys(layer.parts(), dC_da), params)
    around = records["shortcut"][0].dC_da_prev if layer.shortcut else dC_da
    return CombinatorBackward(dC_da, records, records["body"][0].dC_da_prev + around)


@forward.register(Concatenate)
def _concatenate_forward(layer: Any, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    given = dict.fromkeys(layer.parts(), a_prev)
    if layer.inputs is not None:
        given = dict(zip(given, np.split(a_prev, np.cumsum(layer.inputs)[:-1]), strict=True))
    records = forward_parts(forward, layer, given, params, buffers, noise)
    outputs = [chain[-1].a if chain else given[part] for part, chain in records.items()]
    return CombinatorForward(a_prev, records, np.concatenate(outputs))


@backward.register(Concatenate)
def _concatenate_backward(layer: Any, record: Any, dC_da: Array, params: Tree) -> Any:
    passed = layer.inputs or [layer.n_in] * len(layer.branches)
    widths = [
        len(chain[-1].a) if chain else size for chain, size in zip(record.parts.values(), passed, strict=True)
    ]
    errors = dict(zip(record.parts, np.split(dC_da, np.cumsum(widths)[:-1]), strict=True))
    records = backward_parts(backward, layer, record, errors, params)
    handed = [chain[0].dC_da_prev if chain else errors[part] for part, chain in records.items()]
    dC_da_prev = np.concatenate(handed) if layer.inputs is not None else np.sum(handed, axis=0)
    return CombinatorBackward(dC_da, records, dC_da_prev)


# --- The network


@register_engine
class ExampleEngine(OneByOne):
    """One example at a time with NumPy vectors."""

    name: ClassVar[str] = "example"
    summary: ClassVar[str] = "one example at a time, matrix-vector and outer products; Nielsen's form"
    known = forward.registry

    def convert(self, array: Array) -> Any:
        """Return the array itself."""
        return array

    def forward(
        self, model: Model, x: Any, params: Sequence[Tree], buffers: Sequence[Tree], noise: Any
    ) -> tuple[Any, ...]:
        """Return the forward records of one example."""
        return forward_chain(forward, model.layers, x, params, buffers, noise)

    def backward(
        self, model: Model, forward: Sequence[Any], y: Any, weight: float, params: Sequence[Tree]
    ) -> tuple[Any, ...]:
        """Return the backward records of one example."""
        if model.pair is None:
            dC_da = weight * model.cost.dC_da(forward[-1].a, y)  # BP1: ∇_a C; the layer adds ⊙ f'(z)
            return backward_chain(backward, model.layers, forward, dC_da, params)
        *hidden, last = model.layers
        delta = weight * model.pair.delta(model.cost, forward[-1].z, forward[-1].a, y)  # BP1, fused
        output = from_delta(last, forward[-1], delta, params[-1], {})
        return (*backward_chain(backward, hidden, forward[:-1], output.dC_da_prev, params[:-1]), output)
