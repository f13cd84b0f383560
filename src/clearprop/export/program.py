"""From a network to its inference program: each layer and each preprocessing says which steps it is.

A new layer is one function under `translates`, a new preprocessing one under `preprocesses`. What trains only
(dropout) leaves no step behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from clearprop.activations import ActivationFunction, Identity, PerNeuron, PReLU, activations
from clearprop.arrays import Array
from clearprop.checks import as_choice, as_items
from clearprop.errors import DataError, DTypeError, NotInitializedError, UnsupportedError
from clearprop.export.steps import (
    Add,
    Elementwise,
    Increasing,
    Join,
    Normalise,
    Ordinal,
    Product,
    Program,
    Rectify,
    Scale,
    Softmax,
    Step,
    Take,
    Value,
)
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
    Tree,
)
from clearprop.network import Network
from clearprop.training.data import Affine
from clearprop.views import class_names

__all__ = ["Builder", "inference_program", "preprocesses", "translates"]

DTYPES = ("float32", "float64")
_LAYERS: dict[type[Layer], Callable[..., Value]] = {}
_PREPROCESSING: dict[type, Callable[..., Value]] = {}
# The activations that mix the neurons of an example, by their names, each a step of its own.
_WHOLE_VECTORS: dict[str, type[Softmax | Increasing | Ordinal]] = {
    "softmax": Softmax,
    "increasing": Increasing,
    "ordinal": Ordinal,
}
F = TypeVar("F", bound=Callable[..., Value])


def translates(*kinds: type[Layer]) -> Callable[[F], F]:
    """Return a decorator for the function that says which steps layers of these classes are.

    It is called with the `Builder`, the layer, its address, parameters, buffers, and the value that it reads;
    it returns the value that the layer gives.
    """
    return _into(_LAYERS, kinds)


def preprocesses(*kinds: type) -> Callable[[F], F]:
    """Return a decorator for the function that says which steps a preprocessing of these classes is.

    It is called with the `Builder`, the preprocessing and the inputs, and returns what layer 1 reads.
    """
    return _into(_PREPROCESSING, kinds)


def _into(table: dict[Any, Callable[..., Value]], kinds: tuple[type, ...]) -> Callable[[F], F]:
    def add(function: F) -> F:
        table.update(dict.fromkeys(kinds, function))
        return function

    return add


def inference_program(network: Network, dtype: Any = None, labels: Sequence[str] | None = None) -> Program:
    """Return the steps of one prediction, with all their numbers.

    dtype: "float32" or "float64" of the program's numbers; left out, that of the network. labels: what the
    classes are called; left out, as they were in training.
    Errors: `DTypeError` for what is no network; `NotInitializedError` for sizes or preprocessing that are not
        known yet; `UnsupportedError` for a layer or an activation of the user's own; `DataError` for
        parameters that are not finite or too large for dtype, and for another number of labels.

    >>> from clearprop import Dense, Dropout, Network
    >>> net = Network([Dense(3, "tanh"), Dropout(0.5), Dense(2, "softmax")], n_in=4, seed=0)
    >>> [(type(step).__name__, step.target.name) for step in inference_program(net).steps]
    [('Product', '1.z'), ('Elementwise', '1.a'), ('Product', '3.z'), ('Softmax', '3.a')]
    """
    if not isinstance(network, Network):
        raise DTypeError(f"a Network is exported. Got {type(network).__name__}.")
    model, state = network.model, network.state
    builder = Builder(np.dtype(network.dtype if dtype is None else _checked_dtype(dtype)))
    inputs = Value("x", model.n_in)
    value = builder.preprocess(network.preprocessing, inputs)
    value = builder.chain(model.layers, "", state.params, state.buffer_tree, value)
    if not builder.steps:  # such as a lone Dropout
        value = builder.add(Take(value, Value("a", value.size), 0))
    names, threshold = _classes(network, labels)
    return Program(inputs, value, tuple(builder.steps), builder.dtype, names, threshold, _summary(network))


def _checked_dtype(dtype: Any) -> str:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    return name if name in DTYPES else as_choice("dtype", dtype, DTYPES)


def _classes(network: Network, labels: Sequence[str] | None) -> tuple[tuple[str, ...], float | None]:
    names, targets = class_names(network), network.targets
    if targets is None or names is None:
        if labels is not None:
            raise DataError(
                "labels are for the classes of a classifier; this network was "
                f"{'never fitted' if targets is None else 'trained on ' + targets.task}. Leave labels out."
            )
        return (), None
    if labels is not None:
        given = as_items("labels", labels)
        if len(given) != len(names):
            raise DataError(f"labels must name each of the {len(names)} classes. Got {labels!r}.")
        names = tuple(map(str, given))
    return names, (1 + targets.low) / 2 if targets.kind == "binary" else None


def _summary(network: Network) -> str:
    kinds = [
        f"{type(layer).__name__}({layer.n_out}, {layer.activation.name})"
        if isinstance(layer, Dense)
        else type(layer).__name__
        for layer in network.model.layers
    ]
    return f"{network.model.n_in} inputs, {', '.join(kinds)}"


class Builder:
    """Collects the steps of a program, and turns numbers into its dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.steps: list[Step] = []

    def add(self, step: Step) -> Value:
        """Append a step and return the value that it gives."""
        self.steps.append(step)
        return step.target

    def constant(self, values: Any, where: str) -> Array:
        """Return numbers in the program's dtype. Errors: `DataError` for what is not finite in it."""
        given = np.asarray(values)
        with np.errstate(over="ignore"):
            constant = given.astype(self.dtype)
        wrong = given[~np.isfinite(constant)]
        if wrong.size:
            reason = f"too large for {self.dtype.name}" if np.isfinite(wrong[0]) else "not finite"
            raise DataError(
                f"{where} holds {wrong[0]:g}, which is {reason}, so the network cannot be exported. "
                + ("Pass dtype='float64'." if np.isfinite(wrong[0]) else "Train it anew with a smaller rate.")
            )
        return constant

    def chain(
        self,
        layers: Sequence[Layer],
        prefix: str,
        params: Sequence[Tree],
        buffers: Sequence[Tree],
        value: Value,
    ) -> Value:
        """Append the steps of layers one after the other, and return what the last one gives."""
        for i, layer in enumerate(layers):
            address = f"{prefix}{i + 1}"
            if type(layer) not in _LAYERS:  # a subclass may compute something else
                raise UnsupportedError(
                    f"layer {address} is {type(layer).__name__}, a layer of your own, which export cannot "
                    f"translate. It knows {', '.join(kind.__name__ for kind in _LAYERS)}."
                )
            value = _LAYERS[type(layer)](self, layer, address, params[i], buffers[i], value)
        return value

    def preprocess(self, preprocessing: Any, value: Value) -> Value:
        """Append the steps of the preprocessing and return what layer 1 reads."""
        if preprocessing is None:
            return value
        if isinstance(preprocessing, str):
            raise NotInitializedError(
                f"preprocessing={preprocessing!r} takes its numbers from the data of fit. Call fit first."
            )
        if type(preprocessing) not in _PREPROCESSING:
            raise UnsupportedError(
                f"the preprocessing is {type(preprocessing).__name__}, which export cannot translate. It "
                f"knows {', '.join(kind.__name__ for kind in _PREPROCESSING)}."
            )
        return _PREPROCESSING[type(preprocessing)](self, preprocessing, value)

    def activate(self, activation: ActivationFunction, address: str, params: Tree, value: Value) -> Value:
        """Append the step of an activation and return a; the identity leaves z as it is."""
        target = Value(f"{address}.a", value.size)
        for used in (activation, *getattr(activation, "choices", ())):
            if used.name not in activations or type(used) is not activations[used.name]:
                raise UnsupportedError(
                    f"layer {address} has the activation {used.name!r}, a {type(used).__name__} of your own, "
                    "which export cannot translate. Use one of clearprop.activations."
                )
        if activation.name in _WHOLE_VECTORS:
            return self.add(_WHOLE_VECTORS[activation.name](value, target))
        if isinstance(activation, PReLU):
            alpha = self.constant(params["alpha"], f"{address}.alpha")
            return self.add(Rectify(value, target, alpha.reshape(()) if activation.shared else alpha))
        each = [activation]
        if isinstance(activation, PerNeuron):
            each = [activation.neuron(j) for j in range(value.size)]
        functions = tuple(dict.fromkeys(each))
        if len(functions) == 1:
            identity = isinstance(functions[0], Identity)
            return value if identity else self.add(Elementwise(value, target, functions, None))
        choice = tuple(functions.index(f) for f in each)
        return self.add(Elementwise(value, target, functions, choice))


@preprocesses(Affine)
def _affine(builder: Builder, preprocessing: Affine, value: Value) -> Value:
    shift = builder.constant(np.squeeze(preprocessing.shift), "shift of the preprocessing")
    factor = builder.constant(np.squeeze(preprocessing.factor), "factor of the preprocessing")
    if not shift.any() and bool(np.all(factor == 1)):
        return value
    return builder.add(Scale(value, Value("0.a", value.size), shift if shift.any() else None, factor, None))


@translates(Dense)
def _dense(builder: Builder, layer: Dense, address: str, params: Tree, buffers: Tree, value: Value) -> Value:
    W = builder.constant(params["W"], f"{address}.W")
    b = builder.constant(params["b"], f"{address}.b") if layer.bias else None
    z = builder.add(Product(value, Value(f"{address}.z", W.shape[0]), W, b))
    return builder.activate(layer.activation, address, params, z)


@translates(Activation)
def _activation(
    builder: Builder, layer: Activation, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    return builder.activate(layer.activation, address, params, value)


@translates(Dropout, AlphaDropout)
def _nothing(
    builder: Builder, layer: Layer, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    return value  # inverted dropout: the identity in inference


@translates(BatchNorm)
def _batch_norm(
    builder: Builder, layer: BatchNorm, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    gamma, variance = (
        np.asarray(v, dtype=np.float64) for v in (params["gamma"], buffers["running_variance"])
    )
    return builder.add(
        Scale(
            value,
            Value(f"{address}.a", value.size),
            # Not folded into the offset: mean * factor may be large, and would take digits with it.
            builder.constant(buffers["running_mean"], f"{address}.running_mean"),
            builder.constant(gamma / np.sqrt(variance + layer.epsilon), f"{address}.gamma"),
            builder.constant(params["beta"], f"{address}.beta"),
        )
    )


@translates(LayerNorm)
def _layer_norm(
    builder: Builder, layer: LayerNorm, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    gamma, beta = (builder.constant(params[name], f"{address}.{name}") for name in ("gamma", "beta"))
    return builder.add(Normalise(value, Value(f"{address}.a", value.size), gamma, beta, layer.epsilon))


@translates(Residual)
def _residual(
    builder: Builder, layer: Residual, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    ways = [
        builder.chain(chain, f"{address}.{part}.", params[part], buffers[part], value)
        for part, chain in layer.parts().items()
    ]
    return builder.add(Add(ways[0], ways[1], Value(f"{address}.a", ways[0].size)))


@translates(Concatenate)
def _concatenate(
    builder: Builder, layer: Concatenate, address: str, params: Tree, buffers: Tree, value: Value
) -> Value:
    ends, begin = [], 0
    for i, (part, chain) in enumerate(layer.parts().items()):
        own = value
        if layer.inputs is not None:
            columns = Value(f"{address}.{part}.a_prev", layer.inputs[i])
            own = builder.add(Take(value, columns, begin))
            begin += layer.inputs[i]
        ends.append(builder.chain(chain, f"{address}.{part}.", params[part], buffers[part], own))
    return builder.add(Join(tuple(ends), Value(f"{address}.a", sum(end.size for end in ends))))
