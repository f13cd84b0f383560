"""Random networks as a Hypothesis strategy: every registered layer, activation and cost, and own ones.

A drawn network is plain data (layers, cost, sizes, how it is run), so that Hypothesis can shrink it and print
it; its numbers are a function of a seed that is drawn with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from tests.networks import Problem, fits, targets

from clearprop.activations import PReLU, activations, per_neuron
from clearprop.activations.base import ActivationFunction
from clearprop.costs import BinaryCrossEntropy, Cost, CrossEntropy, Huber, Pinball, costs
from clearprop.engines import engines
from clearprop.layers import (
    Activation,
    ActivationOwner,
    AlphaDropout,
    BatchNorm,
    Concatenate,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
    size_chain,
)
from clearprop.model import Draws, Model, State

__all__ = ["OwnActivation", "OwnCost", "Wanted", "networks", "numbers"]

SCALES = (1.0, 1.0, 1e-8, 1e-3, 1e3, 1e8)
"""What the cost is multiplied by, through the weights of the examples."""
LARGEST = 1e6
"""Networks whose outputs or gradients grow beyond this are left out: there, rounding is all there is."""
SATURATED = 7.0
_WHOLE_ROWS = ("softmax", "prelu", "per_neuron", "increasing", "ordinal")
_NEAR_ONE = ("sigmoid", "tanh", "scaled_tanh", "softmax")


@dataclass(frozen=True)
class OwnActivation(ActivationFunction):
    """An activation that is in no registry and not safe for complex numbers: |z| + z/2."""

    name: ClassVar[str] = "own_bend"
    kinks = (0.0,)
    complex_safe = False

    def f(self, z: Any) -> Any:
        """Return |z| + z/2."""
        return np.abs(z) + z / 2

    def df(self, z: Any, a: Any) -> Any:
        """Return sign(z) + 1/2."""
        return np.sign(z) + np.asarray(0.5, dtype=z.dtype)


@dataclass(frozen=True)
class OwnCost(Cost):
    """A cost that is in no registry: sum of fourth powers, over four."""

    name: ClassVar[str] = "own_quartic"

    def value(self, a: Any, y: Any) -> Any:
        """Return sum_j (a_j - y_j)^4 / 4."""
        return ((a - y) ** 4).sum(axis=-1) / 4

    def dC_da(self, a: Any, y: Any) -> Any:
        """Return (a_j - y_j)^3."""
        return (a - y) ** 3


@dataclass(frozen=True)
class Wanted:
    """What the drawn networks may hold."""

    own: bool = True
    """Activations and costs that are in no registry."""
    random: bool = True
    """Dropout in training mode."""
    training: bool = True
    float32: bool = True


@dataclass(frozen=True)
class Drawn:
    """A network to run, how, and the seed of its numbers."""

    layers: tuple[Layer, ...]
    cost: Cost
    n_in: int
    n: int
    seed: int
    training: bool = False
    weighted: bool = False
    scale: float = 1.0
    dtype: str = "float64"

    def model(self) -> Model:
        """Return the frozen architecture."""
        return Model(size_chain(self.layers, self.n_in), self.cost)

    def in_float64(self) -> Drawn:
        """Return the same in float64."""
        return replace(self, dtype="float64")


def numbers(drawn: Drawn, model: Model | None = None) -> Problem:
    """Return the network with its numbers, rounded to its dtype, and one batch."""
    model = drawn.model() if model is None else model
    rng = np.random.default_rng([drawn.seed, 61])
    theta = State.initial(model, drawn.seed, np.float64).theta
    theta = theta + 0.3 * rng.normal(size=theta.shape)
    buffers = rng.uniform(0.5, 1.5, size=model.buffer_layout.size)
    X = rng.normal(size=(drawn.n, model.n_in))
    y = targets(model.cost.targets, drawn.n, model.n_out, rng)
    weights = None
    if drawn.weighted or drawn.scale != 1.0:
        drawn_weights = rng.uniform(0.2, 2.0, size=drawn.n)
        weights = drawn.scale * drawn_weights / drawn_weights.mean()
    state = State(model, theta.astype(drawn.dtype), buffers.astype(drawn.dtype))
    draws = Draws(drawn.seed, 3, np.arange(drawn.n) * 7 + 2) if drawn.training else None

    def cast(array: Any) -> Any:
        return None if array is None else array.astype(drawn.dtype)

    return Problem(model, state, cast(X), cast(y), cast(weights), draws)


def is_tame(p: Problem) -> bool:
    """Return whether outputs and gradients are finite and not so large or saturated that all is rounding.

    1 - tanh(z)^2 is known to 2^-53 / (1 - tanh(z)^2) of itself, whoever computes it from a. And -y/a of an
    output of 1e-39 is beyond the largest number of float32, though its product with a is not.
    """
    with np.errstate(all="ignore"):
        trace = engines()["batch"].trace(*p)
    for record in trace.layers.values():
        saturates = isinstance(record.layer, ActivationOwner) and _saturates(record.layer.activation)
        if saturates and not np.max(np.abs(record.z)) < SATURATED:
            return False
    scale = 1.0 if p.weights is None else float(np.max(p.weights))
    sizes = [np.abs(trace.a), np.abs(trace.costs), np.abs(trace.gradient) / scale]
    for record in trace.layers.values():
        errors = (getattr(record, name) for name in ("dC_da", "delta") if name in record.fields)
        sizes += [np.abs(error) / scale for error in errors if error is not None]
    return all(not size.size or float(size.max()) < LARGEST for size in sizes)  # NaN is not


def _saturates(activation: Any) -> bool:
    chosen = getattr(activation, "_distinct", (activation,))
    return any(name in _NEAR_ONE for name in (getattr(one, "name", "") for one in chosen))


# -- strategies ----------------------------------------------------------------------------------------


@cache
def _output_activations(outputs: str) -> tuple[Any, ...]:
    return tuple(a for a in map(activations.make, activations) if fits(a, outputs))


def _activation(draw: Any, wanted: Wanted, n: int | None) -> Any:
    # Of one class there is no order; how many neurons an Activation has is not known here.
    names = [name for name in activations if name != "ordinal" or (n or 0) > 1]
    names += ["own"] if wanted.own else []
    name = draw(st.sampled_from(names))
    if name == "own":
        return OwnActivation()
    if name == "prelu":
        return PReLU(draw(st.sampled_from((0.25, -0.5))), draw(st.booleans()))
    if name == "per_neuron":
        elementwise = [key for key in activations if key not in _WHOLE_ROWS]
        chosen = draw(st.lists(st.sampled_from(elementwise), min_size=2, max_size=4))
        return per_neuron(chosen if n is None else (chosen * n)[:n], repeat=n is None)
    return activations.make(name)


def _dense(draw: Any, wanted: Wanted, n_out: int | None = None) -> tuple[Dense, int]:
    n = draw(st.integers(1, 6)) if n_out is None else n_out
    return Dense(n, _activation(draw, wanted, n), bias=draw(st.booleans()) or draw(st.booleans())), n


def _block(draw: Any, wanted: Wanted, n: int, depth: int) -> tuple[Layer, int]:
    """Return a residual block or branches side by side, and their number of outputs."""
    if draw(st.booleans()):
        body, to = _chain(draw, wanted, n, depth - 1, 2)
        if draw(st.booleans()):
            return Residual([*body, _dense(draw, wanted, n)[0]]), n
        around, _ = _chain(draw, wanted, n, 0, 1)
        return Residual(
            body or [_dense(draw, wanted, to)[0]], shortcut=[*around, _dense(draw, wanted, to)[0]]
        ), to
    count = draw(st.integers(1, 3))
    cut = count <= n and draw(st.booleans())
    inputs = _sizes(draw, n, count) if cut else [n] * count
    branches = [_chain(draw, wanted, size, depth - 1, 2) for size in inputs]
    layer = Concatenate([chain for chain, _ in branches], inputs=inputs if cut else None)
    return layer, sum(to for _, to in branches)


def _sizes(draw: Any, n: int, count: int) -> list[int]:
    """Return `count` sizes >= 1 that add up to n."""
    ends = sorted(draw(st.permutations(range(1, n)))[: count - 1])
    return [b - a for a, b in zip([0, *ends], [*ends, n], strict=True)]


def _same_size(draw: Any, wanted: Wanted, n: int) -> Layer:
    kinds = ["activation", "batch_norm", "layer_norm", "dropout", "alpha_dropout"]
    kind = draw(st.sampled_from(kinds if wanted.random else kinds[:3]))
    if kind == "activation":
        return Activation(_activation(draw, wanted, n))
    if kind in ("batch_norm", "layer_norm"):
        epsilon = draw(st.sampled_from((1e-2, 0.1, 1.0)))
        return BatchNorm(epsilon=epsilon) if kind == "batch_norm" else LayerNorm(epsilon=epsilon)
    rate = draw(st.sampled_from((0.0, 0.3, 0.7)))
    return Dropout(rate) if kind == "dropout" else AlphaDropout(rate)


def _chain(draw: Any, wanted: Wanted, n: int, depth: int, longest: int) -> tuple[list[Layer], int]:
    """Return a list of layers for n inputs, perhaps empty, and its number of outputs."""
    chain: list[Layer] = []
    for _ in range(draw(st.integers(0, longest))):
        kind = draw(st.sampled_from(("dense", "dense", "same size", "block" if depth else "dense")))
        if kind == "dense":
            layer, n = _dense(draw, wanted)
        elif kind == "block":
            layer, n = _block(draw, wanted, n, depth)
        else:
            layer = _same_size(draw, wanted, n)
        chain.append(layer)
    return chain, n


def _cost(draw: Any, wanted: Wanted, k: int) -> Cost:
    name = draw(st.sampled_from([*costs, *(["own"] if wanted.own else [])]))
    smoothing = draw(st.sampled_from((0.0, 0.1)))
    if name == "pinball":
        return Pinball(tuple(np.linspace(0.1, 0.9, k).tolist()) if draw(st.booleans()) else 0.3)
    special = {
        "own": OwnCost(),
        "cross_entropy": CrossEntropy(smoothing),
        "binary_cross_entropy": BinaryCrossEntropy(smoothing),
        "huber": Huber(draw(st.sampled_from((0.5, 2.0)))),
    }
    return special.get(name) or costs.make(name)


@st.composite
def networks(draw: Any, wanted: Wanted = Wanted(), first: Any = None) -> Drawn:
    """Draw a network, a batch size and a way to run it.

    first: a function of (draw, wanted, n_in) that returns layers to begin with and their number of outputs.
    """
    n_in, k = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    begun, n = ([], n_in) if first is None else first(draw, wanted, n_in)
    chain, _ = _chain(draw, wanted, n, 2, 3)
    cost = _cost(draw, wanted, k)
    fitting = [a for a in _output_activations(cost.outputs) if k > 1 or a.name != "ordinal"]
    output = draw(st.sampled_from(fitting))
    ending = [Dense(k), Activation(output)] if draw(st.integers(0, 3)) == 0 else [Dense(k, output)]
    training = wanted.training and draw(st.booleans())
    return Drawn(
        (*begun, *chain, *ending),
        cost,
        n_in,
        n=draw(st.integers(2 if training else 1, 8)),
        seed=draw(st.integers(0, 2**32 - 1)),
        training=training,
        weighted=draw(st.booleans()),
        scale=draw(st.sampled_from(SCALES)),
        dtype=draw(st.sampled_from(("float64", "float64", "float64", "float32")))
        if wanted.float32
        else "float64",
    )
