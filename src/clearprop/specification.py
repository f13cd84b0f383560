"""What the constructor of Network is given: read, checked, and brought to one form."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clearprop.checks import as_choice, as_whole
from clearprop.costs import Cost, costs
from clearprop.engines import engine_names
from clearprop.errors import DTypeError, OptionError, UnknownNameError, did_you_mean, one_of
from clearprop.layers import ActivationOwner, Dense, Layer, layers
from clearprop.random import Purpose, stream
from clearprop.training.data import Affine

__all__ = [
    "Description",
    "check_dtype",
    "check_engine",
    "check_preprocessing",
    "check_seed",
    "describe",
]

_DTYPES = ("float32", "float64")
# Which cost a network gets when none is given, by the activation of its last layer.
_CANONICAL = {
    "softmax": "cross_entropy",
    "ordinal": "cross_entropy",
    "sigmoid": "binary_cross_entropy",
    "exponential": "poisson",
}


class Description(NamedTuple):
    """An architecture as far as it is known before the data."""

    layers: tuple[Layer, ...]
    n_in: int | None
    cost: Cost

    @property
    def is_complete(self) -> bool:
        """Whether the number of inputs and all sizes that the targets could decide are known."""
        return self.n_in is not None and self.knows_outputs

    @property
    def knows_outputs(self) -> bool:
        """Whether no layer's size is left to the targets."""
        return not any(isinstance(layer, Dense) and layer.n_out is None for layer in self.layers)


def describe(spec: Any, cost: str | Cost | None, n_in: int | None, initializer: Any) -> Description:
    """Return what `layers`, `cost`, `n_in` and `initializer` of a network mean together.

    Errors: `OptionError` and `DTypeError` for what describes no network; `UnknownNameError` for names.
    """
    is_list = isinstance(spec, Sequence) or (isinstance(spec, np.ndarray) and spec.ndim == 1)
    if isinstance(spec, Layer | str) or not is_list or len(spec) == 0:
        raise OptionError(f"layers must be a list of layers or of sizes such as [784, 30, 10]. Got {spec!r}.")
    n_in = None if n_in is None else as_whole("n_in", n_in, at_least=1)
    if all(isinstance(item, int | np.integer) for item in spec):
        found, first, default = _from_sizes(list(spec), initializer)
    else:
        _check_not_mixed(spec)
        found = tuple(_with_initializer(layers.make(item), initializer) for item in spec)
        first, default = found[0].n_in, _CANONICAL.get(_name(found[-1]), "mean_squared_error")
    if n_in is not None and first is not None and n_in != first:
        raise OptionError(f"n_in={n_in} contradicts layers, which begin with {first} inputs. Leave n_in out.")
    chosen = costs.make(default if cost is None else cost)
    chosen.check_activation(_name(found[-1]))
    return Description(found, first if n_in is None else n_in, chosen)


def _from_sizes(sizes: list[Any], initializer: Any) -> tuple[tuple[Layer, ...], int | None, str]:
    """Return Nielsen's form: sigmoid layers, quadratic cost; "normal" draws the biases too."""
    if len(sizes) < 2:
        raise OptionError(f"a list of sizes needs the inputs and at least one layer. Got {list(sizes)!r}.")
    n_in, *widths = (as_whole(f"sizes[{i}]", size, at_least=1) for i, size in enumerate(sizes))
    biases = "normal" if initializer == "normal" else None
    dense = [Dense(n, "sigmoid", initializer=initializer, bias_initializer=biases) for n in widths]
    return tuple(dense), n_in, "quadratic"


def _check_not_mixed(spec: Any) -> None:
    """Raise `OptionError` where sizes stand among layers."""
    for i, item in enumerate(spec):
        if isinstance(item, int | np.integer) and not isinstance(item, bool):
            do = f"give n_in={item}" if i == 0 else f"write Dense({item}, activation)"
            raise OptionError(f"layers must be sizes or layers, not both: {do}. Got {item!r} among layers.")


def _with_initializer(layer: Layer, initializer: Any) -> Layer:
    if initializer is not None and isinstance(layer, Dense) and layer.initializer is None:
        return dataclasses.replace(layer, initializer=initializer)
    return layer


def _name(layer: Layer) -> str:
    return layer.activation.name if isinstance(layer, ActivationOwner) else ""


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype. Errors: `DTypeError` with a suggestion."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in _DTYPES:
        hint = did_you_mean(name, _DTYPES)
        raise DTypeError(f"dtype of a network must be 'float32' or 'float64'. Got {dtype!r}.{hint}")
    found: np.dtype[Any] = np.dtype(name)
    return found


def check_engine(engine: Any) -> str:
    """Return the name of an engine, or "auto". Errors: `UnknownNameError` with a suggestion."""
    known = ["auto", *engine_names()]
    if not isinstance(engine, str) or engine not in known:
        hint = did_you_mean(str(engine), known)
        raise UnknownNameError(f"unknown engine {engine!r}.{hint} Known: {one_of(known)}.")
    return str(engine)


def check_seed(seed: Any) -> int:
    """Return a seed as an int. Errors: `DTypeError`, `OptionError`."""
    stream(seed, Purpose.INITIAL_WEIGHTS)
    return int(seed)


def check_preprocessing(preprocessing: Any, n_in: int | None) -> str | Affine | None:
    """Return None, "standardize" or an `Affine` that fits n_in. Errors: `OptionError`, `ShapeError`."""
    if isinstance(preprocessing, Affine):
        if n_in is not None:
            preprocessing.check(n_in)
        return preprocessing
    if preprocessing is None:
        return None
    if not isinstance(preprocessing, str):
        raise DTypeError(f"preprocessing must be None, 'standardize' or an Affine. Got {preprocessing!r}.")
    return as_choice("preprocessing", preprocessing, ("standardize",))
