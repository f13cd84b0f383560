"""From Keras 3: a model, a .keras file, a .weights.h5 file, or a list of arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_array
from clearprop.errors import DTypeError, OptionError, UnsupportedError, one_of
from clearprop.interchange.keras_files import KerasLayer, chain_of, read_keras, read_weights
from clearprop.interchange.pieces import Piece, assemble, from_arrays, teach_labels
from clearprop.layers import Activation, AlphaDropout, BatchNorm, Dense, Dropout, LayerNorm
from clearprop.network import Network
from clearprop.training.data import Affine

__all__ = ["from_keras"]


def from_keras(
    source: Any,
    *,
    activations: Any = None,
    layers: Sequence[Any] | None = None,
    output: Any = None,
    cost: Any = None,
    dtype: Any = None,
    classes: Sequence[Any] | None = None,
) -> Network:
    """Return the network that a Keras 3 model is, with its weights.

    Parameters:
        source: a ``Sequential`` model, or a functional one that is a plain chain; the path of a
            ``.keras`` file or, of weights alone, of a ``.weights.h5`` file (both need h5py, not Keras); or
            a list of arrays as ``model.get_weights()`` gives it.
        activations: for weights alone, which have none: one for each Dense layer, or one name for all but the
            last, which is linear then.
        layers: for weights alone of any architecture, the layers in clearprop's words, filled in order; a
            .weights.h5 file needs them, as it does not keep the order of different kinds of layers.
        output: an activation to add at the end, where the model was trained with ``from_logits=True``.
        cost: left out, the last activation's partner.
        dtype: left out, that of the weights.
        classes: the labels that `predict` answers with, in the order of the outputs.

    W is the transpose of the kernel. Carried over: Dense, BatchNormalization, LayerNormalization, Dropout,
    AlphaDropout, Flatten, Activation and the activations that both have as layers; Normalization and
    Rescaling at the beginning become the preprocessing. Regularisers and the optimiser are not.

    Errors: `UnsupportedError` naming the layer that has no counterpart; `OptionError` for weights that do not
    fit; `FileFormatError`; `MissingDependencyError` for a file without h5py.

    >>> kernel, bias = np.array([[2.0], [3.0]]), np.array([1.0])
    >>> from_keras([kernel, bias], activations=["relu"]).outputs([[1.0, 10.0]])
    array([[33.]])
    """
    found, described = _read(source)
    if not described:
        if activations is not None and isinstance(source, str | os.PathLike):
            _check_one_kind(found, source)
        pieces = [piece for layer in found for piece in _pieces(layer)]
        network = from_arrays(pieces, layers, activations, output=output, cost=cost, dtype=dtype)
    else:
        for name, value in (("activations", activations), ("layers", layers)):
            if value is not None:
                raise OptionError(f"{name} is for weights alone; a model says it itself. Leave it out.")
        preprocessing, rest = _preprocessing(found)
        pieces = [piece for layer in rest for piece in _pieces(layer)]
        network = assemble(pieces, output=output, cost=cost, dtype=dtype, preprocessing=preprocessing)
    return teach_labels(network, classes)


def _read(source: Any) -> tuple[list[KerasLayer], bool]:
    """Return the layers of the source, and whether it says all of them and what they are."""
    if isinstance(source, str | os.PathLike):
        if str(source).endswith(".weights.h5"):
            return read_weights(source), False
        if str(source).endswith(".keras"):
            return read_keras(source), True
        raise OptionError(
            f"from_keras reads .keras and .weights.h5 files. Got {str(source)!r}; an older model is "
            "brought up to date by model.save('model.keras')."
        )
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        config = {"class_name": type(source).__name__, "config": source.get_config()}
        weights = {layer.name: layer.get_weights() for layer in source.layers}
        return chain_of(config, weights), True
    if isinstance(source, Sequence):
        return list(_bare([as_array(f"array {i} of the weights", a) for i, a in enumerate(source)])), False
    raise DTypeError(
        "from_keras reads a Keras model, the path of a .keras or .weights.h5 file, or a list of arrays. "
        f"Got {source!r}."
    )


def _check_one_kind(found: Sequence[KerasLayer], source: Any) -> None:
    kinds = list(dict.fromkeys(layer.kind for layer in found))
    if kinds != ["Dense"]:
        raise OptionError(
            f"{source} holds weights of {one_of(kinds)}, but not in which order these layers act. Give "
            "layers=[…], or the model as a .keras file."
        )


def _bare(arrays: Sequence[Array]) -> Iterator[KerasLayer]:
    """Yield the layers that a list of arrays must be: a matrix begins a Dense, vectors follow it."""
    i = 0
    while i < len(arrays):
        run = i + 1
        while run < len(arrays) and arrays[run].ndim == 1:
            run += 1
        own = list(arrays[i:run])
        vectors = len(own) - 1
        if own[0].ndim != 2 or vectors not in (0, 1, 3, 4, 5):
            shapes = ", ".join(str(array.shape) for array in own)
            raise UnsupportedError(
                f"weights[{i}] to weights[{run - 1}] of the shapes {shapes} are no Dense layer with a "
                "normalisation after it. Give the model itself, or a .keras file."
            )
        bias = vectors % 2
        yield KerasLayer(f"weights[{i}]", "Dense", {}, own[: 1 + bias])
        if vectors > 1:
            kind = "LayerNormalization" if vectors == 3 else "BatchNormalization"
            yield KerasLayer(f"weights[{i + 1 + bias}]", kind, {}, own[1 + bias :])
        i = run


# -- layers --------------------------------------------------------------------------------------


def _pieces(layer: KerasLayer) -> list[Piece]:
    """Return a layer as pieces, its activation apart. Errors: `UnsupportedError`."""
    if layer.kind not in _LAYERS:
        raise UnsupportedError(
            f"{layer.told} cannot be carried over: clearprop has no such layer. Known are {one_of(_LAYERS)}."
        )
    return [piece._replace(where=layer.told) for piece in _LAYERS[layer.kind](layer)]


def _dense(layer: KerasLayer) -> list[Piece]:
    if len(layer.weights) not in (1, 2) or layer.weights[0].ndim != 2:
        raise UnsupportedError(
            f"{layer.told} cannot be carried over: it holds {len(layer.weights)} arrays, where Dense has "
            "a kernel and a bias."
        )
    kernel, *bias = layer.weights
    own = {"W": kernel.T} | ({"b": bias[0]} if bias else {})
    made = Dense(kernel.shape[1], n_in=kernel.shape[0], bias=bool(bias))
    return [Piece(made, own), *_activation(layer, layer.config.get("activation", "linear"))]


def _norm(layer: KerasLayer) -> list[Piece]:
    n = len(layer.weights[0]) if layer.weights else 0
    batch = layer.kind == "BatchNormalization"
    names = [
        *(["gamma"] if layer.config.get("scale", True) else []),
        *(["beta"] if layer.config.get("center", True) else []),
        *(["running_mean", "running_variance"] if batch else []),
    ]
    axis, rms = layer.config.get("axis", -1), layer.config.get("rms_scaling", False)
    if axis not in (-1, 1, [-1], [1]) or rms or len(names) != len(layer.weights) or not n:
        raise UnsupportedError(
            f"{layer.told} cannot be carried over: it has {len(layer.weights)} arrays and the axis {axis}, "
            f"where {', '.join(names)} of (examples, features) are read."
        )
    own = dict(zip(names, layer.weights, strict=True))
    epsilon = float(layer.config.get("epsilon", 1e-3))
    made: Any = LayerNorm(epsilon, n)
    if batch:
        made = BatchNorm(epsilon, n, momentum=float(layer.config.get("momentum", 0.99)))
    return [Piece(made, own, fixed=tuple(name for name in ("gamma", "beta") if name not in own))]


def _prelu(layer: KerasLayer) -> list[Piece]:
    alpha = layer.weights[0]
    return [Piece(Activation({"name": "prelu", "shared": len(alpha) == 1}), {"alpha": alpha})]


def _relu(layer: KerasLayer) -> list[Piece]:
    slope = layer.config.get("negative_slope") or 0.0
    if layer.config.get("max_value") is not None or layer.config.get("threshold"):
        raise UnsupportedError(f"{layer.told} cannot be carried over: it has a max_value or a threshold.")
    return _leaky(slope)


def _leaky(slope: float) -> list[Piece]:
    name = {"name": "leaky_relu", "negative_slope": float(slope)} if slope else "relu"
    return [Piece(Activation(name))]


def _softmax(layer: KerasLayer) -> list[Piece]:
    if layer.config.get("axis", -1) not in (-1, 1):
        raise UnsupportedError(
            f"{layer.told} cannot be carried over: softmax goes over the neurons, axis -1."
        )
    return [Piece(Activation("softmax"))]


def _activation(layer: KerasLayer, function: Any) -> list[Piece]:
    """Return the activation of that name; a layer object that Keras describes in its place is read as one."""
    if isinstance(function, Mapping):
        kind, config = function.get("class_name"), function.get("config")
        if kind in _WITHOUT_WEIGHTS and isinstance(config, Mapping):  # its own name there says nothing
            return _LAYERS[kind](KerasLayer(layer.name, kind, config, []))
        function = config if kind == "function" else kind
    if function in (None, "linear"):
        return []
    if function not in _FUNCTIONS:
        raise UnsupportedError(
            f"{layer.told} has the activation {function!r}, which cannot be carried over. "
            f"Known are {one_of(_FUNCTIONS)}."
        )
    return [Piece(Activation(_FUNCTIONS[function]))]


_LAYERS: Mapping[str, Callable[[KerasLayer], list[Piece]]] = {
    "Dense": _dense,
    "BatchNormalization": _norm,
    "LayerNormalization": _norm,
    "Dropout": lambda layer: [Piece(Dropout(float(layer.config["rate"])))],
    "AlphaDropout": lambda layer: [Piece(AlphaDropout(float(layer.config["rate"])))],
    "Flatten": lambda layer: [],  # examples are rows here already
    "Activation": lambda layer: _activation(layer, layer.config["activation"]),
    "ReLU": _relu,
    "LeakyReLU": lambda layer: _leaky(layer.config["negative_slope"]),
    "ELU": lambda layer: [Piece(Activation({"name": "elu", "alpha": float(layer.config["alpha"])}))],
    "PReLU": _prelu,
    "Softmax": _softmax,
}

_WITHOUT_WEIGHTS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax")
"""Layers that may stand as the activation inside another."""

# Keras's names of functions; those of the same name compute the same.
_FUNCTIONS: Mapping[str, Any] = {
    "elu": "elu",
    "exponential": "exponential",
    "gelu": "gelu",
    "hard_tanh": "hard_tanh",
    "leaky_relu": {"name": "leaky_relu", "negative_slope": 0.2},
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "swish": "silu",
    "tanh": "tanh",
}


def _preprocessing(layers: Sequence[KerasLayer]) -> tuple[Affine | None, list[KerasLayer]]:
    """Return the scaling layers at the beginning as one affine map, and the layers after them."""
    shift, factor, i = 0.0, 1.0, 0
    while i < len(layers) and layers[i].kind in ("Normalization", "Rescaling", "Flatten"):
        if layers[i].kind != "Flatten":
            s, f = _affine(layers[i])
            shift, factor = shift + s / factor, factor * f  # ((x - shift) * factor - s) * f
        i += 1
    scaled = any(layer.kind != "Flatten" for layer in layers[:i])
    return (Affine(shift, factor) if scaled else None), list(layers[i:])


def _affine(layer: KerasLayer) -> tuple[Any, Any]:
    if layer.kind == "Rescaling":
        scale, offset = (np.asarray(layer.config[name], np.float64) for name in ("scale", "offset"))
        return -offset / scale, scale
    given = (layer.config.get("mean"), layer.config.get("variance"))
    if layer.config.get("invert") or (not layer.weights and None in given):
        raise UnsupportedError(f"{layer.told} cannot be carried over: it is inverted, or was not adapted.")
    mean, variance = layer.weights[:2] if layer.weights else given
    mean, variance = (np.asarray(v, np.float64).reshape(-1) for v in (mean, variance))
    return mean, 1 / np.maximum(np.sqrt(variance), 1e-7)
