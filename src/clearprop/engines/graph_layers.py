"""How each layer is made of nodes, for the `graph` rung, and how its records are read back.

Dense is a product, a sum and an activation; the normalisations are means, differences, products, roots
and quotients; Residual is a sum. Nothing of the layers' own forward and backward passes is used: the
chain rule of `clearprop.engines.graph` finds every gradient. It finds those of the cost C of the batch.
A row of delta is n times the row of ∂C/∂z, so what is found at the intermediates is multiplied by n;
gradients of parameters are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from clearprop.arrays import Array
from clearprop.engines import graph
from clearprop.engines.graph import Node
from clearprop.engines.one_by_one import unknown_layer
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

__all__ = [
    "Reading",
    "Section",
    "Site",
    "build_chain",
    "build_layer",
    "read_backward",
    "read_chain",
    "read_forward",
]


class Site(NamedTuple):
    """Where a layer is built: its address, its input, and the numbers that are constants of the pass."""

    address: str
    a_prev: Node
    params: dict[str, Node]
    """The layer's own parameters as nodes."""
    buffers: Tree
    """Its buffers, and those of its parts."""
    noise: Tree | None
    """The uniform numbers that it and its parts draw in training."""
    training: bool

    def name(self, field: str) -> str:
        """Return the name of a node of this layer, such as "2.z"."""
        return f"{self.address}.{field}"


@dataclass(frozen=True, eq=False)
class Section:
    """The nodes of one layer, by the names of the fields of its records: "a_prev", "z", "a", "W", …."""

    address: str
    layer: Layer
    nodes: dict[str, Node]
    parts: dict[str, tuple[Section, ...]]

    def walk(self) -> Iterator[Section]:
        """Yield this section and those of the layers inside it."""
        yield self
        for chain in self.parts.values():
            for section in chain:
                yield from section.walk()


class Copy(graph.Operation):
    """x itself, for one of several readers, so that the error of each reader can be told apart."""

    def forward(self, x: Array) -> Array:
        """Return x."""
        return x

    def backward(self, inputs: tuple[Array, ...], output: Array, dC_doutput: Array) -> tuple[Array]:
        """Return (g,)."""
        return (dC_doutput,)


class Reading(NamedTuple):
    """What an evaluation of the graph found, on the scale of the records."""

    trace: graph.GraphTrace
    n: int

    def value(self, node: Node) -> Array:
        """Return the value of a node."""
        return self.trace.value[node]

    def values(self, section: Section, *names: str) -> list[Array]:
        """Return the values of several nodes of a layer."""
        return [self.value(section.nodes[name]) for name in names]

    def total(self, node: Node) -> Array:
        """Return ∂C/∂node: of a parameter."""
        gradient = self.trace.gradient[node]
        assert gradient is not None
        return gradient

    def rows(self, node: Node) -> Array:
        """Return n ∂C/∂node, whose row x is ∂C_x/∂node: of an intermediate."""
        return self.n * self.total(node)


@singledispatch
def build_layer(layer: Layer, site: Site) -> Section:
    """Return the nodes of one layer."""
    return unknown_layer(layer)  # type: ignore[no-any-return]


@singledispatch
def read_forward(layer: Layer, section: Section, found: Reading) -> Any:
    """Return the forward record of one layer from what the graph found."""
    return unknown_layer(layer)


@singledispatch
def read_backward(layer: Layer, section: Section, found: Reading) -> Any:
    """Return the backward record of one layer from what the graph found."""
    return unknown_layer(layer)


# --- Dense and Activation


@build_layer.register(Dense)
def _build_dense(layer: Any, site: Site) -> Section:
    z = site.a_prev @ site.params["W"].T
    if layer.bias:
        z = z + site.params["b"]
    return _activated(layer, site, z.named(site.name("z")))


@build_layer.register(Activation)
def _build_activation(layer: Any, site: Site) -> Section:
    return _activated(layer, site, site.a_prev)


def _activated(layer: Any, site: Site, z: Node) -> Section:
    own = {name: site.params[name] for name in layer.activation.parameters(layer.n_out)}
    a = graph.activate(z, layer.activation, own).named(site.name("a"))
    return Section(site.address, layer, {"a_prev": site.a_prev, **site.params, "z": z, "a": a}, {})


@read_forward.register(Dense)
def _read_dense_forward(layer: Any, section: Section, found: Reading) -> Any:
    return DenseForward(*found.values(section, "a_prev", "z", "a"))


@read_backward.register(Dense)
def _read_dense_backward(layer: Any, section: Section, found: Reading) -> Any:
    nodes, own = section.nodes, _own_gradients(layer, section, found)
    dC_dW, dC_db = found.total(nodes["W"]), found.total(nodes["b"]) if layer.bias else None
    return DenseBackward(found.rows(nodes["z"]), dC_dW, dC_db, found.rows(nodes["a_prev"]), own, found.n)


@read_forward.register(Activation)
def _read_activation_forward(layer: Any, section: Section, found: Reading) -> Any:
    return ActivationForward(*found.values(section, "a_prev", "z", "a"))


@read_backward.register(Activation)
def _read_activation_backward(layer: Any, section: Section, found: Reading) -> Any:
    delta = found.rows(section.nodes["z"])
    return ActivationBackward(delta, delta, _own_gradients(layer, section, found), found.n)


def _own_gradients(layer: Any, section: Section, found: Reading) -> dict[str, Array]:
    """Return the gradients of the activation's own parameters, per example."""
    names = layer.activation.parameters(layer.n_out)
    if not names:
        return {}
    z, a = section.nodes["z"], section.nodes["a"]
    params = {name: found.value(section.nodes[name]) for name in names}
    gradients: dict[str, Array] = layer.activation.backward(
        found.value(z), found.value(a), found.rows(a), params
    )[1]
    return gradients


# --- Dropout: the mask is a constant


@build_layer.register(Dropout)
def _build_dropout(layer: Any, site: Site) -> Section:
    if not site.training or not site.noise:
        return _masked(layer, site, None, None)
    mask = _constant((site.noise["u"] >= layer.rate) / (1 - layer.rate), site.name("mask"))
    return _masked(layer, site, mask, mask * site.a_prev)


SELU_FLOOR = -1.0507009873554805 * 1.6732632423543772  # what SELU tends to at -∞


@build_layer.register(AlphaDropout)
def _build_alpha_dropout(layer: Any, site: Site) -> Section:
    if not site.training or not site.noise:
        return _masked(layer, site, None, None)
    q, keep = 1 - layer.rate, site.noise["u"] >= layer.rate
    A = (q * (1 + SELU_FLOOR**2 * layer.rate)) ** -0.5
    mask = _constant(A * keep, site.name("mask"))
    shift = _constant(A * SELU_FLOOR * (1 - keep - layer.rate), site.name("shift"))
    return _masked(layer, site, mask, mask * site.a_prev + shift)


def _constant(array: Array, name: str) -> Node:
    """Return a constant that takes the network's dtype, because a list has none of its own."""
    return graph.constant(array.tolist(), name)


def _masked(layer: Layer, site: Site, mask: Node | None, a: Node | None) -> Section:
    nodes = {"a_prev": site.a_prev, "a": site.a_prev if a is None else a.named(site.name("a"))}
    return Section(site.address, layer, nodes if mask is None else {**nodes, "mask": mask}, {})


@read_forward.register(Dropout)
@read_forward.register(AlphaDropout)
def _read_dropout_forward(layer: Layer, section: Section, found: Reading) -> Any:
    a_prev, a = found.values(section, "a_prev", "a")
    return DropoutForward(a_prev, found.value(section.nodes["mask"]) if "mask" in section.nodes else None, a)


@read_backward.register(Dropout)
@read_backward.register(AlphaDropout)
def _read_dropout_backward(layer: Layer, section: Section, found: Reading) -> Any:
    return DropoutBackward(found.rows(section.nodes["a"]), found.rows(section.nodes["a_prev"]))


# --- Normalisation, from primitive nodes


@build_layer.register(BatchNorm)
def _build_batch_norm(layer: Any, site: Site) -> Section:
    if site.training:
        return _normalized(layer, site, axis=0)
    mean = graph.constant(site.buffers["running_mean"], site.name("mean"))
    variance = graph.constant(site.buffers["running_variance"], site.name("variance"))
    return _scaled(layer, site, mean, variance, site.a_prev - mean)


@build_layer.register(LayerNorm)
def _build_layer_norm(layer: Any, site: Site) -> Section:
    return _normalized(layer, site, axis=-1)


def _normalized(layer: Any, site: Site, axis: int) -> Section:
    mean = graph.mean(site.a_prev, axis, keepdims=axis != 0).named(site.name("mean"))
    centred = (site.a_prev - mean).named(site.name("centred"))
    variance = graph.mean(centred * centred, axis, keepdims=axis != 0).named(site.name("variance"))
    return _scaled(layer, site, mean, variance, centred)


def _scaled(layer: Any, site: Site, mean: Node, variance: Node, centred: Node) -> Section:
    x_hat = (centred / graph.sqrt(variance + layer.epsilon)).named(site.name("x_hat"))
    a = (x_hat * site.params["gamma"] + site.params["beta"]).named(site.name("a"))
    own = {"a_prev": site.a_prev, "mean": mean, "variance": variance, "x_hat": x_hat, "a": a}
    return Section(site.address, layer, own | site.params, {})


@read_forward.register(BatchNorm)
@read_forward.register(LayerNorm)
def _read_norm_forward(layer: Layer, section: Section, found: Reading) -> Any:
    a_prev, mean, variance, x_hat, a = found.values(section, "a_prev", "mean", "variance", "x_hat", "a")
    return NormForward(a_prev, mean, variance, x_hat, a, section.nodes["mean"].role != "constant")


@read_backward.register(BatchNorm)
@read_backward.register(LayerNorm)
def _read_norm_backward(layer: Layer, section: Section, found: Reading) -> Any:
    nodes = section.nodes
    dC_da, dC_dx_hat, dC_da_prev = (found.rows(nodes[name]) for name in ("a", "x_hat", "a_prev"))
    return NormBackward(dC_da, found.total(nodes["gamma"]), found.total(nodes["beta"]), dC_dx_hat, dC_da_prev)


# --- Combinators: every part reads a copy of its own


@build_layer.register(Residual)
def _build_residual(layer: Any, site: Site) -> Section:
    parts = _build_parts(layer, site, dict.fromkeys(layer.parts(), site.a_prev))
    around = parts["shortcut"][-1].nodes["a"] if layer.shortcut else site.a_prev
    a = (parts["body"][-1].nodes["a"] + around).named(site.name("a"))
    return Section(site.address, layer, {"a_prev": site.a_prev, "a": a}, parts)


@build_layer.register(Concatenate)
def _build_concatenate(layer: Any, site: Site) -> Section:
    given = dict.fromkeys(layer.parts(), site.a_prev)
    if layer.inputs is not None:
        stops = np.cumsum([0, *layer.inputs]).tolist()
        for part, start, stop in zip(given, stops[:-1], stops[1:], strict=True):
            given[part] = graph.columns(site.a_prev, slice(start, stop))
    parts = _build_parts(layer, site, given)
    outputs = [chain[-1].nodes["a"] if chain else given[part] for part, chain in parts.items()]
    a = graph.concatenate(outputs).named(site.name("a"))
    return Section(site.address, layer, {"a_prev": site.a_prev, "a": a}, parts)


def _build_parts(layer: Layer, site: Site, given: dict[str, Node]) -> dict[str, tuple[Section, ...]]:
    parts = {}
    for part, chain in layer.parts().items():
        copy = graph.apply(Copy(), given[part], name=site.name(f"{part}.a_prev"))
        noise = site.noise[part] if site.noise else None
        parts[part] = build_chain(
            chain, f"{site.address}.{part}.", copy, site.buffers[part], noise, site.training
        )
    return parts


@read_forward.register(Residual)
@read_forward.register(Concatenate)
def _read_combinator_forward(layer: Layer, section: Section, found: Reading) -> Any:
    a_prev, a = found.values(section, "a_prev", "a")
    parts = {part: read_chain(chain, found, read_forward) for part, chain in section.parts.items()}
    return CombinatorForward(a_prev, parts, a)


@read_backward.register(Residual)
@read_backward.register(Concatenate)
def _read_combinator_backward(layer: Layer, section: Section, found: Reading) -> Any:
    dC_da, dC_da_prev = found.rows(section.nodes["a"]), found.rows(section.nodes["a_prev"])
    parts = {part: read_chain(chain, found, read_backward) for part, chain in section.parts.items()}
    return CombinatorBackward(dC_da, parts, dC_da_prev)


# --- Chains of layers


def build_chain(
    chain: Sequence[Layer], prefix: str, a: Node, buffers: Sequence[Tree], noise: Any, training: bool
) -> tuple[Section, ...]:
    """Return the nodes of a chain of layers, each fed by the one before."""
    sections = []
    for i, layer in enumerate(chain):
        address = f"{prefix}{i + 1}"
        params = {name: graph.parameter(f"{address}.{name}") for name in layer.parameters()}
        drawn = noise[i] if noise is not None else None
        sections.append(build_layer(layer, Site(address, a, params, buffers[i], drawn, training)))
        a = sections[-1].nodes["a"]
    return tuple(sections)


def read_chain(sections: Sequence[Section], found: Reading, read: Callable[..., Any]) -> tuple[Any, ...]:
    """Return the records of a chain of layers; `read` is `read_forward` or `read_backward`."""
    return tuple(read(section.layer, section, found) for section in sections)
