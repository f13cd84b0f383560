"""The architecture, frozen, and where its parameters lie: one flat vector theta with named views."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import methodcaller
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array, namespace
from clearprop.costs import Cost, FusedPair, fused_pair
from clearprop.errors import ShapeError, UnknownNameError, UnsupportedError, did_you_mean
from clearprop.initializers import Initializer
from clearprop.layers import ActivationOwner, Dense, Layer, Parameter, Tree, chain_draw
from clearprop.random import Purpose, stream

__all__ = ["Draws", "Entry", "Gradient", "Layout", "Model", "State", "collapse"]

_MOST = sys.maxsize // 8
"""Numbers of eight bytes that an address can tell apart."""


class Entry(NamedTuple):
    """One named array inside a flat vector."""

    layer: str
    """Address of its layer, such as "3.body.1"."""
    name: str
    """Its name in the layer, such as "W"."""
    shape: tuple[int, ...]
    offset: int
    size: int
    decays: bool
    """Whether weight decay and penalties apply to it by default."""

    @property
    def address(self) -> str:
        """Address of the array itself, such as "3.body.1.W"."""
        return f"{self.layer}.{self.name}"

    @property
    def block(self) -> slice:
        """Its place in the flat vector."""
        return slice(self.offset, self.offset + self.size)


Declare = Callable[[Layer], dict[str, Parameter]]


@dataclass(frozen=True)
class Layout:
    """How named arrays of all layers lie in one flat vector.

    >>> from clearprop.layers import Dense, size_chain
    >>> from operator import methodcaller
    >>> layout = Layout(size_chain([Dense(3, "relu"), Dense(1)], 2), methodcaller("parameters"))
    >>> [(e.address, e.shape, e.offset) for e in layout.entries]
    [('1.W', (3, 2), 0), ('1.b', (3,), 6), ('2.W', (1, 3), 9), ('2.b', (1,), 12)]
    """

    layers: tuple[Layer, ...]
    declare: Declare

    @cached_property
    def declared(self) -> tuple[tuple[Entry, Parameter], ...]:
        """Every entry with its declaration, in the order of the vector.

        Errors: `ShapeError` for more numbers than can be counted in memory.
        """
        found, offset = [], 0
        for i, top in enumerate(self.layers, 1):
            for address, layer in top.walk(str(i)):
                for name, parameter in self.declare(layer).items():
                    size = math.prod(parameter.shape)
                    if offset + size > _MOST:
                        raise ShapeError(
                            f"{address}.{name} has the shape {parameter.shape}: the network would hold more "
                            "numbers than memory has addresses for. Make it or the layer before smaller."
                        )
                    entry = Entry(address, name, parameter.shape, offset, size, parameter.decays)
                    found.append((entry, parameter))
                    offset += size
        return tuple(found)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every entry, in the order of the vector."""
        return tuple(entry for entry, _ in self.declared)

    @cached_property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def _is_chain(self) -> bool:
        """Whether no layer has parts, so that every tree is flat."""
        return not any(layer.parts() for layer in self.layers)

    def find(self, address: str) -> Entry:
        """Return the entry at an address such as "1.W"; raise `UnknownNameError` with a suggestion."""
        for entry in self.entries:
            if entry.address == address:
                return entry
        known = [entry.address for entry in self.entries]
        raise UnknownNameError(
            f"there is no parameter {address!r}.{did_you_mean(address, known)} Known: {', '.join(known)}."
        )

    def mask(self, select: Callable[[Entry], bool]) -> Array:
        """Return a boolean vector over theta that is True where `select(entry)` is."""
        mask = np.zeros(self.size, dtype=bool)
        for entry in self.entries:
            mask[entry.block] = select(entry)
        return mask

    def views(self, flat: Array) -> tuple[Tree, ...]:
        """Return the named views of a flat vector as one tree per layer (no copies)."""
        arrays = iter([flat[entry.block].reshape(entry.shape) for entry in self.entries])
        return tuple(_grow(layer, self.declare, arrays) for layer in self.layers)

    def flatten(self, trees: Sequence[Tree]) -> Any:
        """Return the arrays of the trees, one per layer, joined into one flat vector."""
        leaves = self.leaves(trees)
        return namespace(leaves[0]).concat(leaves, axis=None) if leaves else np.zeros(0)

    def leaves(self, trees: Sequence[Tree]) -> list[Any]:
        """Return the arrays of the trees, one per layer, in the order of the vector."""
        if self._is_chain:  # the hot path of training
            return [leaf for tree in trees for leaf in tree.values()]
        found: list[Any] = []
        for layer, tree in zip(self.layers, trees, strict=True):
            _gather(layer, tree, found)
        return found

    def initial(self, seed: int, dtype: Any) -> Array:
        """Return the flat vector of initial values, a function of the seed and each entry's address alone.

        Name k (0, 1, …) of layer l draws from ``stream(seed, INITIAL_WEIGHTS, 2 l + k)`` for k < 2, and from
        ``stream(seed, INITIAL_WEIGHTS, l, k)`` beyond. l counts all layers as `Model.walk` yields them, from
        0. So taking away the biases of one layer leaves all others as they were.
        Errors: `ShapeError` where an initialiser that needs the sizes of a weight matrix is given biases.
        """
        flat = np.empty(self.size, dtype=dtype)
        places = self._places
        for entry, parameter in self.declared:
            if isinstance(parameter.initial, Initializer):
                source = stream(seed, Purpose.INITIAL_WEIGHTS, *places[entry.address])
                drawn = parameter.initial.draw(entry.shape, parameter.gain, source)
                flat[entry.block] = drawn.reshape(-1)
            else:
                flat[entry.block] = parameter.initial
        return flat

    @cached_property
    def _places(self) -> dict[str, tuple[int, ...]]:
        """The position of every entry's stream, by the entry's address."""
        walked = (inner for i, top in enumerate(self.layers, 1) for inner in top.walk(str(i)))
        return {
            f"{address}.{name}": (2 * index + k,) if k < 2 else (index, k)
            for index, (address, layer) in enumerate(walked)
            for k, name in enumerate(self.declare(layer))
        }


def _grow(layer: Layer, declare: Declare, arrays: Iterator[Array]) -> Tree:
    own: dict[str, Any] = {name: next(arrays) for name in declare(layer)}
    for part, chain in layer.parts().items():
        own[part] = tuple(_grow(inner, declare, arrays) for inner in chain)
    return own


def _gather(layer: Layer, tree: Tree, leaves: list[Any]) -> None:
    """Append the arrays of a tree in the order of the layout."""
    parts = layer.parts()
    if not parts:
        leaves.extend(tree.values())
        return
    leaves.extend(value for name, value in tree.items() if name not in parts)
    for part, chain in parts.items():
        for inner, subtree in zip(chain, tree[part], strict=True):
            _gather(inner, subtree, leaves)


class Draws(NamedTuple):
    """Where the random numbers of a training pass come from: a position, not a generator."""

    seed: int
    step: int
    examples: Array
    """Index of each example of the batch in the data set, (n,)."""


@dataclass(frozen=True)
class Model:
    """A frozen architecture: sized layers and a cost. It holds no numbers that are learned.

    Parameters: `layers`, all sizes known; `cost`.
    """

    layers: tuple[Layer, ...]
    cost: Cost

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.layers[0].n_in  # type: ignore[return-value]  # sized

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.layers[-1].n_out  # type: ignore[return-value]  # sized

    @cached_property
    def layout(self) -> Layout:
        """Where the parameters lie in theta."""
        return Layout(self.layers, methodcaller("parameters"))

    @cached_property
    def buffer_layout(self) -> Layout:
        """Where the buffers (running statistics) lie in their flat vector."""
        return Layout(self.layers, methodcaller("buffers"))

    @cached_property
    def pair(self) -> FusedPair | None:
        """The fused pair of the last activation and the cost, or None where BP1 is the plain product."""
        last = self.layers[-1]
        if not isinstance(last, ActivationOwner):
            return None
        return fused_pair(last.activation, self.cost)

    @cached_property
    def couples_examples(self) -> bool:
        """Whether a layer couples the examples of a batch in training mode."""
        return any(layer.couples_examples for _, layer in self.walk())

    @cached_property
    def places_gradients(self) -> bool:
        """Whether a backward pass that is given memory puts every gradient there by itself."""
        return all(layer.places_gradients for layer in self.layers)

    @cached_property
    def is_random(self) -> bool:
        """Whether a training pass draws random numbers."""
        return any(layer.random for _, layer in self.walk())

    @cached_property
    def _noise_ids(self) -> dict[str, int]:
        return {address: i for i, (address, _) in enumerate(self.walk())}

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Yield (address, layer) for every layer, also those inside combinators."""
        for i, layer in enumerate(self.layers, 1):
            yield from layer.walk(str(i))

    def draw(self, draws: Draws | None) -> tuple[Tree, ...] | None:
        """Return the uniform numbers that a training pass needs: the same for an example in any batch.

        None where there is nothing to draw: in inference (`draws` is None), or without a random layer.
        """
        if draws is None or not self.is_random:
            return None

        def source(address: str, units: int) -> Array:
            layer = self._noise_ids[address]
            return stream(draws.seed, Purpose.DROPOUT, layer, draws.step).uniform_at(draws.examples, units)

        return chain_draw(self.layers, "", source)

    def costs(self, record: Any, y: Array) -> Array:
        """Return C_x for every example, (n,), from the last layer's record; from z where that is stable."""
        if self.pair is not None:
            return self.pair.value(self.cost, record.z, y)
        return self.cost.value(record.a, y)

    def check_input(self, X: Array, what: str = "X") -> None:
        """Raise `ShapeError` unless X is (n, n_in)."""
        if X.ndim != 2 or X.shape[1] != self.n_in:
            got = f"(examples={X.shape[0]}, features={X.shape[1]})" if X.ndim == 2 else f"{X.shape}"
            raise ShapeError(f"{what} has shape {got}; layers[1] expects (examples, features={self.n_in}).")


class Gradient:
    """Memory for a gradient: one flat vector and its views as trees, used again in every step.

    A backward pass may put gradients straight into the views; `gather` copies in those it did not.
    """

    __slots__ = ("_layout", "_views", "flat", "trees")

    def __init__(self, model: Model, dtype: Any) -> None:
        self.flat = np.empty(model.layout.size, dtype=dtype)
        self.trees = model.layout.views(self.flat)
        self._layout = model.layout
        self._views = model.layout.leaves(self.trees)

    def gather(self, trees: Sequence[Tree]) -> Array:
        """Return the flat vector, holding the gradients in the trees, one per layer."""
        for view, leaf in zip(self._views, self._layout.leaves(trees), strict=True):
            if leaf is not view:
                view[...] = leaf
        return self.flat


class State:
    """The numbers of a network: theta and buffers, flat, with their views as trees.

    The views share memory with the flat vectors, also in a copy and after pickling.
    `params[l - 1]["W"]` is W of layer l.
    """

    __slots__ = ("buffer_tree", "buffers", "model", "params", "theta")

    def __init__(self, model: Model, theta: Array, buffers: Array) -> None:
        if theta.shape != (model.layout.size,):
            raise ShapeError(
                f"theta has shape {theta.shape}; this network has {model.layout.size} parameters, so it must "
                f"be ({model.layout.size},)."
            )
        self.model = model
        self.theta = theta
        self.buffers = buffers
        self.params = model.layout.views(theta)
        self.buffer_tree = model.buffer_layout.views(buffers)

    @classmethod
    def initial(cls, model: Model, seed: int, dtype: Any) -> State:
        """Return the state that the seed gives."""
        return cls(model, model.layout.initial(seed, dtype), model.buffer_layout.initial(seed, dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied or pickled array by array, the views would come back as arrays of their own.
        return type(self), (self.model, self.theta, self.buffers)


def collapse(model: Model, state: State) -> tuple[Array, Array]:
    """Return (W*, b*) of the one affine map that a chain of linear Dense layers amounts to.

    W* = W^L … W^2 W^1 and b* = W^L (… (W^2 b^1 + b^2) …) + b^L, so that z^L = x @ W*.T + b*; the
    activation of the last layer may be any. Dropout counts as linear: it is the identity in inference.
    Errors: `UnsupportedError` naming the first layer that is not linear.
    """
    W = np.eye(model.n_in, dtype=state.theta.dtype)
    b = np.zeros(model.n_in, dtype=state.theta.dtype)
    for i, layer in enumerate(model.layers, 1):
        if layer.random:
            continue
        if not isinstance(layer, Dense):
            raise UnsupportedError(f"layer {i} is {type(layer).__name__}: only Dense layers collapse.")
        if layer.activation.name != "identity" and i < len(model.layers):
            raise UnsupportedError(
                f"layer {i} has the activation {layer.activation.name!r}, which is not linear: the network "
                "does not collapse to one affine map."
            )
        params = state.params[i - 1]
        W = params["W"] @ W
        b = params["W"] @ b + (params["b"] if layer.bias else 0)
    return W, b
