"""Where in a network something is: a layer, a neuron, one parameter; and the words for it.

Every message about a place that does not exist names the layers and their sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.checks import as_numbers
from clearprop.errors import DTypeError, OptionError, ShapeError, UnknownNameError, did_you_mean
from clearprop.layers import Layer
from clearprop.model import Entry, Model
from clearprop.network import Network

__all__ = ["Place", "check_network", "examples_of", "find_layer", "layer_list", "parameter_place"]


@dataclass(frozen=True)
class Place:
    """One parameter of a network."""

    layer: str
    """Address of its layer."""
    name: str
    """Its name in the layer: "W", "b", "gamma"."""
    index: tuple[int, ...]
    """Its place in the array: (j, k) in W, (j,) in b."""
    flat: int
    """Its place in theta."""

    @property
    def neuron(self) -> int:
        """The neuron j of the layer that it feeds."""
        return self.index[0]

    @property
    def label(self) -> str:
        """Its name as text: "W[1][0, 2]", the way it is asked for."""
        return f"{self.name}[{self.layer}][{', '.join(map(str, self.index))}]"

    @property
    def symbol(self) -> str:
        """Its name as matplotlib's mathematics, in the textbook's letters where it is W or b."""
        letter = {"W": "w", "b": "b"}.get(self.name, rf"\mathrm{{{self.name}}}")
        return f"${letter}^{{{self.layer}}}_{{{','.join(map(str, self.index))}}}$"


def check_network(net: Any) -> Network:
    """Return `net` if it is a network whose sizes are known. Errors: `DTypeError`, `NotInitializedError`."""
    if not isinstance(net, Network):
        raise DTypeError(f"a plot of a network needs a clearprop.Network. Got {type(net).__name__}.")
    _ = net.model
    return net


def examples_of(net: Network, X: Any) -> Any:
    """Return X as (n, n_in) numbers; raise `ShapeError` where it does not fit the network."""
    rows = as_numbers("X", X)
    if rows.ndim != 2 or rows.shape[1] != net.model.n_in:
        raise ShapeError(f"X has shape {rows.shape}; this network expects (examples, {net.model.n_in}).")
    return rows


def layer_list(model: Model) -> str:
    """Return all layers with their sizes in one line, for messages."""
    parts = [f"0 (input, {model.n_in})"]
    parts += [f"{address} ({type(layer).__name__}, {layer.n_out})" for address, layer in model.walk()]
    return ", ".join(parts)


def find_layer(model: Model, layer: int | str) -> tuple[str, Layer]:
    """Return the address and the description of a layer; negative numbers count from the end.

    Errors: `UnknownNameError` naming all layers and their sizes.
    """
    if isinstance(layer, bool) or not isinstance(layer, int | str | np.integer):
        raise DTypeError(f'layer must be a number, or an address such as "3.body.1". Got {layer!r}.')
    known = dict(model.walk())
    address = str(layer)
    if not isinstance(layer, str) and layer < 0:
        address = str(len(model.layers) + 1 + int(layer))
    if address == "0":
        raise UnknownNameError(f"layer 0 is the input, which has no parameters. Layers: {layer_list(model)}.")
    if address not in known:
        hint = did_you_mean(address, known)
        raise UnknownNameError(f"there is no layer {layer!r}.{hint} Layers: {layer_list(model)}.")
    return address, known[address]


def parameter_place(
    model: Model,
    layer: int | str,
    weight: tuple[int, int] | None = None,
    bias: int | None = None,
    parameter: tuple[str, Any] | None = None,
) -> Place:
    """Return the place of weight (j, k), of bias j, or of another parameter ("gamma", j) of a layer.

    Errors: `OptionError` unless one of the three is given; `UnknownNameError` where it does not exist.

    >>> import clearprop as cp
    >>> parameter_place(cp.Network([2, 3, 1]).model, 1, weight=(2, 0)).flat
    4
    """
    given = [value for value in (weight, bias, parameter) if value is not None]
    if len(given) != 1:
        raise OptionError("give one of weight=(j, k), bias=j and parameter=(name, j).")
    address, _ = find_layer(model, layer)
    if parameter is not None:
        name, index = _named(parameter)
    else:
        name, index = ("W", weight) if weight is not None else ("b", bias)
    entry = _entry(model, address, name)
    place = _index(model, entry, index)
    return Place(address, name, place, entry.offset + int(np.ravel_multi_index(place, entry.shape)))


def _named(parameter: Any) -> tuple[str, Any]:
    pair = parameter if isinstance(parameter, tuple | list) else ()
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise DTypeError(f"parameter must be (name, place), such as ('gamma', 0). Got {parameter!r}.")
    return pair[0], pair[1]


def _entry(model: Model, address: str, name: str) -> Entry:
    own = {entry.name: entry for entry in model.layout.entries if entry.layer == address}
    if name not in own:
        has = f"It has: {', '.join(own)}." if own else "It has none."
        hint = did_you_mean(str(name), own)
        raise UnknownNameError(
            f"layer {address} has no parameter {name!r}.{hint} {has} Layers: {layer_list(model)}."
        )
    return own[name]


def _index(model: Model, entry: Entry, index: Any) -> tuple[int, ...]:
    given = index if isinstance(index, tuple | list) else (index,)
    if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in given):
        raise DTypeError(f"the place of {entry.address} must be whole numbers. Got {index!r}.")
    fits = len(given) == len(entry.shape)
    if not fits or any(not 0 <= i < size for i, size in zip(given, entry.shape, strict=True)):
        axes = ("j (to neuron)", "k (from neuron)")
        wanted = ", ".join(f"{axes[i]} in 0 … {size - 1}" for i, size in enumerate(entry.shape))
        raise UnknownNameError(
            f"{entry.address} has no entry {index!r}: {wanted}. Layers: {layer_list(model)}."
        )
    return tuple(int(i) for i in given)
