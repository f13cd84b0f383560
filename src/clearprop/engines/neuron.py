"""The `neuron` rung: one example at a time, one neuron at a time, with numbers and lists. For reading.

The four equations of backpropagation for one example (Nielsen, chapter 2), with delta_j = ∂C_x/∂z_j:

    BP1  ∂C_x/∂a_j of the last layer comes from the cost
    BP2  ∂C_x/∂a_k of the layer before is Σ_j W_jk delta_j
    BP3  ∂C_x/∂b_j = delta_j
    BP4  ∂C_x/∂W_jk = delta_j a_k

and delta_j = ∂C_x/∂a_j · f'(z_j) in every layer, last or hidden. Nothing of `clearprop.layers` is
called but its records, so this is an independent statement of the same mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from clearprop.activations import ActivationFunction, PerNeuron
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

__all__ = ["NeuronEngine", "backward", "forward", "from_delta"]

Vector = Any
"""A list of numbers. (`Any`, because the records of `clearprop.layers` declare arrays.)"""


@singledispatch
def forward(layer: Layer, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    """Return the forward record of one layer for one example. noise: uniform numbers, None in inference."""
    return unknown_layer(layer)


@singledispatch
def backward(layer: Layer, record: Any, dC_da: Vector, params: Tree) -> Any:
    """Return the backward record of one layer for one example; dC_da[j] is ∂C_x/∂a_j."""
    return unknown_layer(layer)


@singledispatch
def from_delta(layer: Layer, record: Any, delta: Vector, params: Tree, dC_dparams: Any) -> Any:
    """Return the backward record of a layer with an activation, given delta[j] = ∂C_x/∂z_j."""
    return unknown_layer(layer)


# --- Dense: the layer of the textbooks


@forward.register(Dense)
def _dense_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    W = params["W"]
    z: Vector = []
    for j in range(layer.n_out):
        z_j = params["b"][j] if layer.bias else 0.0
        for k in range(layer.n_in):
            z_j = z_j + W[j][k] * a_prev[k]  # z_j = Σ_k W_jk a_k + b_j
        z.append(z_j)
    a = activate(layer.activation, z, params)  # a_j = f(z_j)
    return DenseForward(a_prev, z, a)


@backward.register(Dense)
def _dense_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    delta, dC_dparams = error_before(layer.activation, record.z, record.a, dC_da, params)
    return from_delta(layer, record, delta, params, dC_dparams)


@from_delta.register(Dense)
def _dense_from_delta(layer: Any, record: Any, delta: Vector, params: Tree, dC_dparams: Any) -> Any:
    W, a_prev = params["W"], record.a_prev
    dC_db: Vector = []
    dC_dW: Vector = []
    dC_da_prev: Vector = [0.0 for _ in range(layer.n_in)]
    for j in range(layer.n_out):
        dC_db.append(delta[j])  # BP3
        dC_dW.append([delta[j] * a_prev[k] for k in range(layer.n_in)])  # BP4
        for k in range(layer.n_in):
            dC_da_prev[k] = dC_da_prev[k] + W[j][k] * delta[j]  # BP2
    return DenseBackward(delta, dC_dW, dC_db if layer.bias else None, dC_da_prev, dC_dparams, 1)


# --- Activations: on numbers where a_j depends on z_j alone, else on the whole layer of the example


def activate(activation: ActivationFunction, z: Vector, params: Tree) -> Vector:
    """Return a = f(z) of one example."""
    if on_numbers(activation):
        return [float(of_neuron(activation, j).f(number(z[j]))) for j in range(len(z))]
    return as_list(activation.forward(np.array(z), own(activation, z, params)))


def error_before(
    activation: ActivationFunction, z: Vector, a: Vector, dC_da: Vector, params: Tree
) -> tuple[Vector, dict[str, Array]]:
    """Return delta of one example, and the gradients of the activation's own parameters."""
    if on_numbers(activation):
        slope = [
            float(of_neuron(activation, j).df(number(z_j), number(a_j)))
            for j, (z_j, a_j) in enumerate(zip(z, a, strict=True))
        ]
        return [dC_da[j] * slope[j] for j in range(len(z))], {}  # delta_j = ∂C_x/∂a_j f'(z_j)
    arrays = np.array(z), np.array(a), np.array(dC_da)
    delta, dC_dparams = activation.backward(*arrays, own(activation, z, params))
    return as_list(delta), dC_dparams


def on_numbers(activation: ActivationFunction) -> bool:
    """Return whether a_j = f(z_j) is all there is to it: no parameters, no own forward or backward."""
    kind = type(activation)
    return (
        activation.elementwise
        and kind.forward is ActivationFunction.forward
        and kind.backward is ActivationFunction.backward
    )


def number(value: float) -> Any:
    """Return a Python number as the NumPy number that activations compute with."""
    return np.float64(value)


def of_neuron(activation: ActivationFunction, j: int) -> ActivationFunction:
    """Return the activation of neuron j: one of its own if the layer has one for every neuron."""
    return activation.neuron(j) if isinstance(activation, PerNeuron) else activation


def own(activation: ActivationFunction, z: Vector, params: Tree) -> dict[str, Array]:
    """Return the activation's own parameters as arrays."""
    return {name: np.array(params[name]) for name in activation.parameters(len(z))}


def as_list(array: Array) -> Vector:
    """Return an array as a list of Python numbers."""
    return array.tolist()


@forward.register(Activation)
def _activation_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    return ActivationForward(a_prev, a_prev, activate(layer.activation, a_prev, params))


@backward.register(Activation)
def _activation_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    delta, dC_dparams = error_before(layer.activation, record.z, record.a, dC_da, params)
    return from_delta(layer, record, delta, params, dC_dparams)


@from_delta.register(Activation)
def _activation_from_delta(layer: Any, record: Any, delta: Vector, params: Tree, dC_dparams: Any) -> Any:
    return ActivationBackward(delta, delta, dC_dparams, 1)


# --- Dropout: in training a mask, a constant of the pass; in inference the identity


@forward.register(Dropout)
def _dropout_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    if not noise:
        return DropoutForward(a_prev, None, a_prev)
    scale = 1.0 / (1.0 - layer.rate)
    mask: Vector = [scale if u_j >= layer.rate else 0.0 for u_j in noise["u"]]
    a: Vector = [mask[j] * a_prev[j] for j in range(layer.n_in)]
    return DropoutForward(a_prev, mask, a)


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772  # what SELU tends to at -∞


@forward.register(AlphaDropout)
def _alpha_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    if not noise:
        return DropoutForward(a_prev, None, a_prev)
    keep = 1.0 - layer.rate
    A = 1.0 / sqrt(keep + SELU_FLOOR**2 * keep * layer.rate)
    B = -A * layer.rate * SELU_FLOOR
    kept = [u_j >= layer.rate for u_j in noise["u"]]
    a: Vector = [A * (a_prev[j] if kept[j] else SELU_FLOOR) + B for j in range(layer.n_in)]
    mask: Vector = [A if kept_j else 0.0 for kept_j in kept]
    return DropoutForward(a_prev, mask, a)


@backward.register(Dropout)
@backward.register(AlphaDropout)
def _dropout_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    if record.mask is None:
        return DropoutBackward(dC_da, dC_da)
    dC_da_prev: Vector = [record.mask[j] * dC_da[j] for j in range(layer.n_in)]
    return DropoutBackward(dC_da, dC_da_prev)


# --- Normalisation: with statistics of the example (LayerNorm) or with given ones (BatchNorm, in inference)


def _normalized(layer: Any, a_prev: Vector, mean: Any, variance: Any, params: Tree) -> tuple[Vector, Vector]:
    x_hat = [(a_prev[j] - mean[j]) / sqrt(variance[j] + layer.epsilon) for j in range(layer.n_in)]
    return x_hat, [params["gamma"][j] * x_hat[j] + params["beta"][j] for j in range(layer.n_in)]


@forward.register(BatchNorm)
def _batch_norm_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    mean, variance = buffers["running_mean"], buffers["running_variance"]
    x_hat, a = _normalized(layer, a_prev, mean, variance, params)
    return NormForward(a_prev, mean, variance, x_hat, a, False)


@backward.register(BatchNorm)
def _batch_norm_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    dC_dgamma: Vector = [dC_da[j] * record.x_hat[j] for j in range(layer.n_in)]
    dC_dx_hat: Vector = [dC_da[j] * params["gamma"][j] for j in range(layer.n_in)]
    dC_da_prev: Vector = [dC_dx_hat[j] / sqrt(record.variance[j] + layer.epsilon) for j in range(layer.n_in)]
    return NormBackward(dC_da, dC_dgamma, dC_da, dC_dx_hat, dC_da_prev)


@forward.register(LayerNorm)
def _layer_norm_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    n = layer.n_in
    mean: Vector = [sum(a_prev) / n]
    variance: Vector = [sum((a_j - mean[0]) ** 2 for a_j in a_prev) / n]
    x_hat, a = _normalized(layer, a_prev, mean * n, variance * n, params)
    return NormForward(a_prev, mean, variance, x_hat, a, True)


@backward.register(LayerNorm)
def _layer_norm_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    n, a_prev = layer.n_in, record.a_prev
    mean, spread = record.mean[0], sqrt(record.variance[0] + layer.epsilon)
    dC_dgamma: Vector = [dC_da[j] * record.x_hat[j] for j in range(n)]
    dC_dx_hat: Vector = [dC_da[j] * params["gamma"][j] for j in range(n)]
    # a_prev_j acts on x_hat_j itself, and on every x_hat through the variance and through the mean.
    dC_dvariance = sum(dC_dx_hat[j] * (a_prev[j] - mean) for j in range(n)) * -0.5 / spread**3
    dC_dmean = -sum(dC_dx_hat) / spread
    dC_da_prev: Vector = [
        dC_dx_hat[j] / spread + dC_dvariance * 2.0 * (a_prev[j] - mean) / n + dC_dmean / n for j in range(n)
    ]
    return NormBackward(dC_da, dC_dgamma, dC_da, dC_dx_hat, dC_da_prev)


# --- Combinators: a sum of two ways, and branches side by side


@forward.register(Residual)
def _residual_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    records = forward_parts(forward, layer, dict.fromkeys(layer.parts(), a_prev), params, buffers, noise)
    around = records["shortcut"][-1].a if layer.shortcut else a_prev
    through = records["body"][-1].a
    a: Vector = [through[j] + around[j] for j in range(layer.n_out)]
    return CombinatorForward(a_prev, records, a)


@backward.register(Residual)
def _residual_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    records = backward_parts(backward, layer, record, dict.fromkeys(layer.parts(), dC_da), params)
    around = records["shortcut"][0].dC_da_prev if layer.shortcut else dC_da
    through = records["body"][0].dC_da_prev
    dC_da_prev: Vector = [through[k] + around[k] for k in range(layer.n_in)]
    return CombinatorBackward(dC_da, records, dC_da_prev)


@forward.register(Concatenate)
def _concatenate_forward(layer: Any, a_prev: Vector, params: Tree, buffers: Tree, noise: Tree | None) -> Any:
    given, first = {}, 0
    for i, part in enumerate(layer.parts()):
        given[part] = a_prev
        if layer.inputs is not None:
            given[part] = a_prev[first : first + layer.inputs[i]]
            first += layer.inputs[i]
    records = forward_parts(forward, layer, given, params, buffers, noise)
    a: Vector = []
    for part, chain in records.items():
        a = a + (chain[-1].a if chain else given[part])
    return CombinatorForward(a_prev, records, a)


@backward.register(Concatenate)
def _concatenate_backward(layer: Any, record: Any, dC_da: Vector, params: Tree) -> Any:
    errors, first = {}, 0
    for i, (part, chain) in enumerate(record.parts.items()):
        width = len(chain[-1].a) if chain else (layer.inputs[i] if layer.inputs else layer.n_in)
        errors[part] = dC_da[first : first + width]
        first += width
    records = backward_parts(backward, layer, record, errors, params)
    handed = [chain[0].dC_da_prev if chain else errors[part] for part, chain in records.items()]
    dC_da_prev: Vector = [error for block in handed for error in block]  # each block of inputs is read once …
    if layer.inputs is None:
        dC_da_prev = [sum(block[k] for block in handed) for k in range(layer.n_in)]  # … or all are, by all
    return CombinatorBackward(dC_da, records, dC_da_prev)


# --- The network: layer after layer, and back


@register_engine
class NeuronEngine(OneByOne):
    """One neuron at a time in plain Python."""

    name: ClassVar[str] = "neuron"
    summary: ClassVar[str] = "plain Python loops, one neuron at a time; for reading"
    known = forward.registry

    def convert(self, array: Array) -> Any:
        """Return the array as nested lists of Python numbers."""
        return as_list(array)

    def forward(
        self, model: Model, x: Any, params: Sequence[Tree], buffers: Sequence[Tree], noise: Any
    ) -> tuple[Any, ...]:
        """Return the forward records of one example."""
        return forward_chain(forward, model.layers, x, params, buffers, noise)

    def backward(
        self, model: Model, forward: Sequence[Any], y: Any, weight: float, params: Sequence[Tree]
    ) -> tuple[Any, ...]:
        """Return the backward records of one example."""
        a = np.array(forward[-1].a)
        if model.pair is None:
            dC_da = weight * model.cost.dC_da(a, np.array(y))  # BP1; delta_j = ∂C_x/∂a_j f'(z_j) in the layer
            return backward_chain(backward, model.layers, forward, as_list(dC_da), params)
        *hidden, last = model.layers
        delta = weight * model.pair.delta(model.cost, np.array(forward[-1].z), a, np.array(y))  # BP1, fused
        output = from_delta(last, forward[-1], as_list(delta), params[-1], {})
        return (*backward_chain(backward, hidden, forward[:-1], output.dC_da_prev, params[:-1]), output)
