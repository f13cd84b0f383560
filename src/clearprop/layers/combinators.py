"""Combinators for networks that are not a chain: Residual and Concatenate (also: several inputs)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from clearprop.arrays import Array, namespace
from clearprop.checks import as_items, as_whole, check_whole
from clearprop.errors import OptionError, ShapeError
from clearprop.layers.base import (
    Layer,
    Tree,
    chain_backward,
    chain_forward,
    check_size,
    layers,
    open_layer,
    size_chain,
)
from clearprop.registry import description

__all__ = ["CombinatorBackward", "CombinatorForward", "Concatenate", "Residual"]


class CombinatorForward(NamedTuple):
    """Forward record of a combinator."""

    a_prev: Array
    """Inputs, (n, n_in)."""
    parts: dict[str, tuple[Any, ...]]
    """The forward records of each part's layers, by the part's name."""
    a: Array
    """Outputs, (n, n_out)."""


class CombinatorBackward(NamedTuple):
    """Backward record of a combinator."""

    dC_da: Array
    """Row x is ∂C_x/∂a, (n, n_out)."""
    parts: dict[str, tuple[Any, ...]]
    """The backward records of each part's layers, by the part's name."""
    dC_da_prev: Array
    """Row x is ∂C_x/∂a_prev, (n, n_in)."""


def as_chain(spec: Any) -> tuple[Layer, ...]:
    """Return one layer, a name, plain data or a sequence of them as a tuple of layers."""
    if isinstance(spec, Layer | str | Mapping):
        return (layers.make(spec),)
    return tuple(layers.make(item) for item in as_items("layers", spec))


def run_parts(
    chains: dict[str, tuple[Layer, ...]],
    inputs: dict[str, Array],
    params: Tree,
    buffers: Tree,
    noise: Tree | None,
    training: bool,
) -> dict[str, tuple[Any, ...]]:
    """Return the forward records of every part on its own input."""
    return {
        part: chain_forward(
            chain, inputs[part], params[part], buffers[part], noise[part] if noise else None, training
        )
        for part, chain in chains.items()
    }


@layers.register()
@description
class Residual(Layer):
    """A block with a way around it: a = shortcut(a_prev) + body(a_prev).

    Parameters:
        body: a layer or a list of layers.
        shortcut: left out, the identity, and body must give as many outputs as it has inputs; else a layer
            or a list of layers with the body's number of outputs (such as ``Dense()``, a projection).

    Derivation. a is a sum, so both ways receive dC_da unchanged, and what they hand back adds up:

        dC_da_prev = (dC_da passed back through body) + (dC_da passed back through shortcut).

    With the identity shortcut the second term is dC_da itself: the error reaches the layers in front
    undiminished, however deep the net.

    Errors: `ShapeError` when the two ways differ in size. Parts are addressed "3.body.1", "3.shortcut.1".
    Source: He et al., Deep Residual Learning (2015).

    >>> import numpy as np
    >>> from clearprop.layers import Dense
    >>> block = Residual([Dense(2, "relu")]).sized(2, "1")
    >>> tree = {"body": ({"W": np.eye(2), "b": np.zeros(2)},), "shortcut": ()}
    >>> block.forward(np.array([[1.0, -2.0]]), tree, {"body": ({},), "shortcut": ()}).a
    array([[ 2., -2.]])
    """

    name: ClassVar[str] = "residual"
    parts_side_by_side: ClassVar[bool] = True
    takes_n_out: ClassVar[bool] = True
    body: Any = ()
    shortcut: Any = ()
    n_in: int | None = None  # a field where the base has a property

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", as_chain(self.body))
        object.__setattr__(self, "shortcut", as_chain(self.shortcut))
        if not self.body:
            raise OptionError("body of Residual must hold at least one layer. Got none.")
        if self.n_in is not None:
            check_whole(self, "n_in", at_least=1)

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]  # depends on the option
        """Whether the shortcut is the identity, which the body must match."""
        return not self.shortcut

    @property
    def n_out(self) -> int | None:
        """Number of outputs: the body's."""
        return _chain_n_out(self.body, self.n_in)

    def parts(self) -> dict[str, tuple[Layer, ...]]:
        """Return {"body": …, "shortcut": …}."""
        return {"body": self.body, "shortcut": self.shortcut}

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Residual:
        """Return this block for n_in inputs; a body's last size left out is n_in, or that of the shortcut."""
        check_size(self, n_in, address)
        shortcut: tuple[Layer, ...] = ()
        if open_layer(self.shortcut) is None:
            shortcut = size_chain(self.shortcut, n_in, f"{address}.shortcut.")
            n_out = _chain_n_out(shortcut, n_in)
        body = size_chain(self.body, n_in, f"{address}.body.", n_out)
        to = _chain_n_out(body, n_in)
        if not shortcut:
            shortcut = size_chain(self.shortcut, n_in, f"{address}.shortcut.", to)
        if _chain_n_out(shortcut, n_in) != to:
            way = "shortcut" if shortcut else "identity shortcut"
            raise ShapeError(
                f"layers[{address}] Residual adds its body ({to} outputs) to its {way} "
                f"({_chain_n_out(shortcut, n_in)} outputs). Make them equal, or give shortcut=Dense() to "
                "project."
            )
        return dataclasses.replace(self, body=body, shortcut=shortcut, n_in=int(n_in))

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> CombinatorForward:
        """Return the records of both ways and a, their sum."""
        inputs = {"body": a_prev, "shortcut": a_prev}
        records = run_parts(self.parts(), inputs, params, buffers, noise, training)
        around = records["shortcut"][-1].a if self.shortcut else a_prev
        return CombinatorForward(a_prev, records, records["body"][-1].a + around)

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> CombinatorBackward:
        """Return the records of both ways and dC_da_prev, the sum of what they hand back."""
        parts = {
            part: chain_backward(
                chain, record.parts[part], dC_da, params[part], n, out=None if out is None else out[part]
            )
            for part, chain in self.parts().items()
        }
        around = parts["shortcut"][0].dC_da_prev if self.shortcut else dC_da
        return CombinatorBackward(dC_da, parts, parts["body"][0].dC_da_prev + around)

    def part_errors(self, record: Any) -> dict[str, Array]:
        """Return dC_da for both ways: a sum passes it on unchanged."""
        return {"body": record.dC_da, "shortcut": record.dC_da}


@layers.register()
@description
class Concatenate(Layer):
    """Branches side by side, their outputs joined: a = [branch1(·), branch2(·), …].

    Parameters:
        branches: a list of branches, each a layer or a list of layers; an empty list passes its input
            through.
        inputs: left out, every branch gets the whole of a_prev. A list of sizes gives each branch its own
            block of the columns of a_prev, in order: a network with several inputs. `Network` takes those as
            a tuple of arrays and joins them.

    Derivation. Each output column belongs to one branch, so dC_da is cut at the same places. An input that
    several branches read gets the sum of what they hand back; a block that one branch reads gets that alone.

    Errors: `ShapeError` when `inputs` does not add up to the number of inputs. Addresses: "2.branch1.1".

    >>> import numpy as np
    >>> from clearprop.layers import Activation
    >>> layer = Concatenate([[], Activation("relu")]).sized(2, "1")
    >>> empty = {"branch1": (), "branch2": ({},)}
    >>> layer.forward(np.array([[1.0, -2.0]]), empty, empty).a
    array([[ 1., -2.,  1.,  0.]])
    """

    name: ClassVar[str] = "concatenate"
    parts_side_by_side: ClassVar[bool] = True
    branches: Any = ()
    inputs: Any = None
    n_in: int | None = None  # a field where the base has a property

    def __post_init__(self) -> None:
        if isinstance(self.branches, Layer | str | Mapping) or not isinstance(self.branches, Iterable):
            raise OptionError(
                "branches of Concatenate must be a list of branches, each a layer or a list of layers. "
                f"Got {self.branches!r}."
            )
        branches = tuple(as_chain(branch) for branch in self.branches)
        if not branches:
            raise OptionError("branches of Concatenate must hold at least one branch. Got none.")
        object.__setattr__(self, "branches", branches)
        if self.inputs is not None:
            object.__setattr__(self, "inputs", self._checked_inputs(len(branches)))
        if self.n_in is not None:
            check_whole(self, "n_in", at_least=1)

    def _checked_inputs(self, branches: int) -> tuple[int, ...]:
        try:
            sizes = tuple(as_whole("a size", size, at_least=1) for size in self.inputs)
        except (TypeError, OptionError):  # no list, or no size
            sizes = ()
        if len(sizes) != branches:
            raise OptionError(
                f"inputs of Concatenate must give one whole number >= 1 for each of its {branches} branches. "
                f"Got {self.inputs!r}."
            )
        return sizes

    @property
    def n_out(self) -> int | None:
        """Number of outputs: the sum over the branches."""
        ends = [_chain_n_out(b, k) for b, k in zip(self.branches, self._input_sizes(), strict=True)]
        return None if None in ends else sum(ends)  # type: ignore[arg-type]

    def _input_sizes(self) -> tuple[int | None, ...]:
        return self.inputs or (self.n_in,) * len(self.branches)

    def parts(self) -> dict[str, tuple[Layer, ...]]:
        """Return {"branch1": …, "branch2": …, …}."""
        return {f"branch{i}": branch for i, branch in enumerate(self.branches, 1)}

    def sized(self, n_in: int, address: str, n_out: int | None = None) -> Concatenate:
        """Return this layer for n_in inputs."""
        check_size(self, n_in, address)
        if self.inputs is not None and sum(self.inputs) != n_in:
            raise ShapeError(
                f"layers[{address}] Concatenate splits its inputs into {' + '.join(map(str, self.inputs))} = "
                f"{sum(self.inputs)} columns; what comes before it gives {n_in}. Make the sizes add up."
            )
        sizes = self.inputs or (n_in,) * len(self.branches)
        branches = tuple(
            size_chain(branch, size, f"{address}.branch{i}.")
            for i, (branch, size) in enumerate(zip(self.branches, sizes, strict=True), 1)
        )
        return dataclasses.replace(self, branches=branches, n_in=int(n_in))

    def _blocks(self, sizes: Iterable[int | None]) -> list[slice]:
        stops = [0]
        for size in sizes:
            assert size is not None
            stops.append(stops[-1] + size)
        return [slice(a, b) for a, b in pairwise(stops)]

    def forward(
        self, a_prev: Array, params: Tree, buffers: Tree, noise: Tree | None = None, training: bool = False
    ) -> CombinatorForward:
        """Return the records of all branches and a, their outputs side by side."""
        names = list(self.parts())
        given = dict.fromkeys(names, a_prev)
        if self.inputs is not None:
            blocks = self._blocks(self.inputs)
            given = {name: a_prev[:, block] for name, block in zip(names, blocks, strict=True)}
        records = run_parts(self.parts(), given, params, buffers, noise, training)
        outputs = [records[name][-1].a if records[name] else given[name] for name in names]
        return CombinatorForward(a_prev, records, namespace(a_prev).concat(outputs, axis=-1))

    def backward(
        self, record: Any, dC_da: Array, params: Tree, n: int, inputs: bool = True, out: Tree | None = None
    ) -> CombinatorBackward:
        """Return the records of all branches and dC_da_prev."""
        parts, handed = {}, []
        for part, error in self._cut(dC_da).items():
            chain = self.parts()[part]
            place = None if out is None else out[part]
            parts[part] = chain_backward(chain, record.parts[part], error, params[part], n, out=place)
            handed.append(parts[part][0].dC_da_prev if chain else error)
        if self.inputs is not None:
            return CombinatorBackward(dC_da, parts, namespace(dC_da).concat(handed, axis=-1))
        dC_da_prev = handed[0]
        for more in handed[1:]:
            dC_da_prev = dC_da_prev + more
        return CombinatorBackward(dC_da, parts, dC_da_prev)

    def part_errors(self, record: Any) -> dict[str, Array]:
        """Return the columns of dC_da that belong to each branch."""
        return self._cut(record.dC_da)

    def _cut(self, dC_da: Array) -> dict[str, Array]:
        ends = [_chain_n_out(b, k) for b, k in zip(self.branches, self._input_sizes(), strict=True)]
        return {part: dC_da[:, block] for part, block in zip(self.parts(), self._blocks(ends), strict=True)}


def _chain_n_out(chain: tuple[Layer, ...], n_in: int | None) -> int | None:
    """Return the number of outputs of a chain, None while it is not known."""
    n = n_in
    for layer in chain:
        n = layer.n_out if layer.n_out is not None or not layer.keeps_size else n
    return n
