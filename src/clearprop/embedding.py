"""The activations of a layer as features: a network cut off after it, run like the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.costs import Quadratic
from clearprop.errors import DTypeError, OptionError, UnknownNameError, UnsupportedError, did_you_mean
from clearprop.fitting import outputs_of
from clearprop.fitting.reading import draft_of
from clearprop.layers import Layer
from clearprop.model import Layout, Model, State

if TYPE_CHECKING:
    from clearprop.network import Network

__all__ = ["embed", "last_hidden"]


def embed(network: Network, X: Any, layer: int | str | None = None, engine: str | None = None) -> Array:
    """Return the activations of a layer in inference mode, (n, n_out of the layer): see `Network.embed`."""
    model = network.model
    address = last_hidden(model) if layer is None else _address(layer)
    chain = list(_up_to(model, address))
    cut = draft_of(network)
    # The cost may ask for a number of outputs that only the last layer has, as one of several quantiles does.
    cut._model = Model(tuple(part for _, part in chain), Quadratic())
    owners = tuple(place for place, _ in chain)
    cut._state = State(
        cut._model,
        _numbers_of(owners, model.layout, network.theta),
        _numbers_of(owners, model.buffer_layout, network.buffers),
    )
    return outputs_of(cut, X, engine)


def last_hidden(model: Model) -> str:
    """Return the address of the last hidden layer: the one that the last layer with weights reads.

    Errors: `OptionError` where there is none.

    >>> from clearprop import Dense, Network
    >>> last_hidden(Network([Dense(5, "relu"), Dense(3), Dense(2, "softmax")], n_in=4).model)
    '2'
    """
    weighty = [int(e.layer.split(".")[0]) for e in model.layout.entries if e.name == "W"]
    if not weighty or weighty[-1] == 1:
        raise OptionError(
            "this network has no hidden layer: its only layer with weights reads the inputs. Give embed a "
            f"layer, 1 … {len(model.layers)}."
        )
    return str(weighty[-1] - 1)


def _address(layer: Any) -> str:
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer | str):
        raise DTypeError(f'layer must be a number or an address such as "3.body.1". Got {layer!r}.')
    return str(layer)


def _up_to(model: Model, address: str) -> Iterator[tuple[str, Layer]]:
    """Yield (address, layer) of the chain that leads from the inputs through the layer of that address."""
    known = [place for place, _ in model.walk()]
    if address not in known:
        hint = did_you_mean(address, known)
        raise UnknownNameError(
            f"there is no layer {address!r} in this network.{hint} Known: {', '.join(known)}."
        )
    names, layers, prefix = address.split("."), model.layers, ""
    for depth in range(0, len(names), 2):
        last = int(names[depth])
        # Where the address goes on into a part, the part reads what the combinator does.
        whole = last if depth + 1 == len(names) else last - 1
        yield from ((f"{prefix}{i}", layer) for i, layer in enumerate(layers[:whole], 1))
        if whole < last:
            combinator, part = layers[last - 1], names[depth + 1]
            if getattr(combinator, "inputs", None) is not None:
                raise UnsupportedError(
                    f"layer {address!r} reads only some columns of the inputs, which embed cannot cut off. "
                    f"Give layer {prefix}{last}, which has the branches side by side."
                )
            layers, prefix = combinator.parts()[part], f"{prefix}{last}.{part}."


def _numbers_of(owners: tuple[str, ...], layout: Layout, flat: Array) -> Array:
    """Return the numbers of the layers at these addresses, and of their parts, in the layout's order."""
    wanted = [e.block for e in layout.entries if any(f"{e.layer}.".startswith(f"{o}.") for o in owners)]
    return np.concatenate([flat[:0], *(flat[block] for block in wanted)])
