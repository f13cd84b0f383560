"""What was asked for: which example, which layer, which number of it. Every mistake gets one sentence."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.checks import as_array
from clearprop.errors import (
    DataError,
    DTypeError,
    OptionError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
    did_you_mean,
)
from clearprop.layers import ActivationOwner, Dense, Layer
from clearprop.model import Model
from clearprop.training.labels import as_targets, family, plain_values
from clearprop.training.targets import Targets

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["Asked", "as_rows", "check_coupling", "check_has_layer", "one_example", "sizes", "what_is_asked"]

_MOST_LAYERS = 40


@dataclass(frozen=True)
class Asked:
    """One thing of one layer: kind "weight", "bias", "neuron", "parameter", or "" for the whole layer."""

    address: str
    layer: Layer | None
    kind: str
    name: str
    index: tuple[int, ...]


def what_is_asked(
    model: Model,
    layer: int | str,
    weight: Any = None,
    bias: Any = None,
    neuron: Any = None,
    parameter: Any = None,
    caller: str = "explain",
) -> Asked:
    """Return what is asked for, checked against the network.

    Errors: `UnknownNameError` for a layer or parameter that is not there, `ShapeError` for a neuron or input
    that is not there, `OptionError` for more than one thing at once. All name the layers and their sizes.
    """
    address, found = find_layer(model, layer)
    given = {"weight": weight, "bias": bias, "neuron": neuron, "parameter": parameter}
    kinds = [kind for kind, value in given.items() if value is not None]
    if len(kinds) > 1:
        known = [kind for kind in given if kind != "parameter" or caller == "explain"]
        raise OptionError(f"{caller} takes one of {', '.join(known)}. Got {' and '.join(kinds)}.")
    if not kinds:
        return Asked(address, found, "", "", ())
    kind = kinds[0]
    if kind == "neuron":
        n = model.n_in if found is None else found.n_out
        return Asked(address, found, kind, "", (_whole(neuron, f"neuron of layer {address}", n, model),))
    if kind == "parameter":
        return _parameter(model, address, found, parameter)
    return _of_dense(model, address, found, kind, given[kind])


def find_layer(model: Model, layer: Any) -> tuple[str, Layer | None]:
    """Return the address and the layer; layer 0, the input, has no layer."""
    wrong = isinstance(layer, bool) or not isinstance(layer, numbers.Integral | str)
    if wrong:
        raise DTypeError(f'layer must be a number such as 2 or an address such as "3.body.1". Got {layer!r}.')
    address = str(layer)
    layers = dict(model.walk())
    if isinstance(layer, numbers.Integral) and -len(model.layers) <= int(layer) < 0:
        address = str(len(model.layers) + 1 + int(layer))
    if address != "0" and address not in layers:
        raise UnknownNameError(f"there is no layer {layer!r}.{did_you_mean(address, layers)} {sizes(model)}")
    return address, layers.get(address)


def sizes(model: Model) -> str:
    """Return the layers and their sizes in one sentence.

    >>> import clearprop as cp
    >>> sizes(cp.Network([2, 3, 1]).model)
    'Layers: 0 input (2), 1 Dense (2 → 3), 2 Dense (3 → 1).'
    """
    found = [
        f"{address} {type(layer).__name__} ({layer.n_in} → {layer.n_out})" for address, layer in model.walk()
    ]
    if len(found) > _MOST_LAYERS:
        found = [*found[:_MOST_LAYERS], f"… and {len(found) - _MOST_LAYERS} more"]
    return f"Layers: {', '.join([f'0 input ({model.n_in})', *found])}."


def _whole(value: Any, what: str, n: int | None, model: Model) -> int:
    assert n is not None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise DTypeError(f"the {what} is a whole number from 0 to {n - 1}. Got {value!r}.")
    if not 0 <= int(value) < n:
        kind, _, where = what.partition(" of ")
        has = f"{n} {kind}s, counted from 0 to {n - 1}" if n > 1 else f"one {kind}, number 0"
        raise ShapeError(f"{where} has {has}. Got {kind} {value}. {sizes(model)}")
    return int(value)


def _of_dense(model: Model, address: str, layer: Layer | None, kind: str, value: Any) -> Asked:
    if not isinstance(layer, Dense):
        name = "the input" if layer is None else f"a {type(layer).__name__}"
        weighted = [a for a, inner in model.walk() if isinstance(inner, Dense)]
        own = list(layer.parameters()) if layer is not None else []
        hint = f" It has the parameters {', '.join(own)}: ask parameter=({own[0]!r}, 0)." if own else ""
        raise UnsupportedError(
            f"layer {address} is {name} and has no {kind} of its own.{hint} Layers with weights: "
            f"{', '.join(weighted) or 'none'}."
        )
    if kind == "bias":
        if not layer.bias:
            raise UnsupportedError(f"layer {address} was made with bias=False: it has no biases.")
        return Asked(
            address, layer, kind, "b", (_whole(value, f"neuron of layer {address}", layer.n_out, model),)
        )
    pair = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if len(pair) != 2:
        raise DTypeError(f"weight must be (j, k): to neuron j of the layer, from its input k. Got {value!r}.")
    j = _whole(pair[0], f"neuron of layer {address}", layer.n_out, model)
    return Asked(
        address, layer, kind, "W", (j, _whole(pair[1], f"input of layer {address}", layer.n_in, model))
    )


def _parameter(model: Model, address: str, layer: Layer | None, value: Any) -> Asked:
    pair = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if len(pair) < 2 or not isinstance(pair[0], str):
        raise DTypeError(f"parameter must be its name and an index, such as ('gamma', 0). Got {value!r}.")
    name, index = pair[0], pair[1:]
    known = layer.parameters() if layer is not None else {}
    if name not in known:
        raise UnknownNameError(
            f"layer {address} has no parameter {name!r}. It has: {', '.join(known) or 'none'}. {sizes(model)}"
        )
    shape = known[name].shape
    if len(index) != len(shape):
        raise ShapeError(f"{address}.{name} has shape {shape}. Got the index {index}.")
    at = tuple(_whole(i, f"entry of {address}.{name}", n, model) for i, n in zip(index, shape, strict=True))
    if name in ("W", "b") and isinstance(layer, Dense):
        return Asked(address, layer, "weight" if name == "W" else "bias", name, at)
    return Asked(address, layer, "parameter", name, at)


def check_has_layer(given: Mapping[str, Any]) -> None:
    """Raise `OptionError` where something of a layer is asked for and no layer is."""
    asked = [kind for kind, value in given.items() if value is not None]
    if asked:
        raise OptionError(f"{asked[0]} belongs to a layer. Give layer too, such as layer=1.")


def check_coupling(model: Model, training: bool) -> None:
    """Raise `UnsupportedError` where one example alone cannot be asked about in training mode."""
    for address, layer in model.walk():
        if training and layer.couples_examples:
            raise UnsupportedError(
                f"layers[{address}] {type(layer).__name__} couples the examples of a batch in training, so "
                "one example has no gradient of its own. Ask in inference mode (training=False)."
            )


def one_example(network: Network, x: Any, y: Any) -> tuple[Any, Any]:
    """Return x and y of one example as rows; x and y may lack the axis of the examples.

    Errors: `DataError` without y or with more than one example.
    """
    if y is None:
        raise DataError("explain needs y, the target of the example: without it there is no cost to explain.")
    n = _n_examples(x)
    if n is not None and n != 1:
        raise DataError(
            f"explain takes one example. Got {n}: give one row, such as X[3] and y[3], or ask why(X, y), "
            "which takes a batch."
        )
    return as_rows(network, x, y)


def as_rows(network: Network, x: Any, y: Any) -> tuple[Any, Any]:
    """Return x and y with an axis of the examples: a single x has one, and y is then its target."""
    n = _n_examples(x)
    if n is not None:
        return x, _of_one_class(network, _target(network, y) if n == 1 else y)
    return _row(x), _of_one_class(network, _target(network, y))


def _n_examples(x: Any) -> int | None:
    if isinstance(x, tuple):
        return _n_examples(x[0]) if x else None
    shape = getattr(x, "shape", None)
    try:
        shape = np.shape(x) if shape is None else shape
    except ValueError:
        raise ShapeError(
            "x holds rows of different lengths. Give one row of numbers, such as X[3]."
        ) from None
    return int(shape[0]) if len(shape) == 2 else None


def _row(x: Any) -> Any:
    if isinstance(x, tuple) and any(np.ndim(part) for part in x):
        return tuple(_row(part) for part in x)
    given = x if hasattr(x, "ndim") else as_array("x", x)
    return np.asanyarray(given)[None] if given.ndim < 2 else x  # a masked array stays one: it is refused


def _target(network: Network, y: Any) -> Any:
    given = y if hasattr(y, "ndim") else as_array("y", y)
    if given.ndim < 2 and given.size == 1 and _is_output(network, given):
        return np.asanyarray(given).reshape(1, 1)
    if given.ndim == 0 or (given.ndim == 1 and len(given) > 1):
        return np.asanyarray(given)[None]
    return y


def _of_one_class(network: Network, y: Any) -> Any:
    """Return labels that are all the same as rows; anything else, and where the classes are known, as it is.

    What was never fitted takes its classes from y, and one label does not show them. Whole numbers below the
    number of outputs are numbers of outputs, as in a fit that has seen them all.
    Errors: `DataError` for another label.
    """
    if network.targets is not None or network.classes is not None or network.task == "regression":
        return y
    labels, n_out = plain_values(as_targets(y, "y"), "y"), network.layers[-1].n_out
    if labels.ndim != 1 or np.any(labels != labels[0]):
        return y
    label = labels[0].item()
    if family(labels) == "numbers":
        if n_out is None or n_out < 2 or label != int(label):
            return y
        if 0 <= label < n_out:
            return _one_hot(network, labels, n_out)
    raise DataError(
        f"y holds the label {label!r} alone, which does not show what classes there are. Give y one-hot, or "
        "list all labels in Network(…, classes=[…])."
    )


def _one_hot(network: Network, labels: Any, n_out: int) -> Any:
    last = network.layers[-1]
    activation = last.activation if isinstance(last, ActivationOwner) else None
    targets = Targets.infer(labels, network.cost, n_out, activation, "classification", range(n_out))
    return targets.encode(labels, np.float64)


def _is_output(network: Network, given: Any) -> bool:
    """Return whether one number is the target of the one output, not a label: no fit has said otherwise."""
    if network.targets is not None or network.classes is not None or not network.is_built:
        return False
    return network.model.n_out == 1 and given.dtype.kind in "biuf"
