"""What a gradient costs: backpropagation beside finite differences as the number of parameters grows.

Backpropagation needs two passes through the network, one forward and one backward, however many parameters
there are. Differences need C(w + e) and C(w - e), two forward passes, for every parameter. Counted are the
passes and the multiplications that they did, by a layer that counts as it computes; the seconds are measured.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_items, as_whole
from clearprop.engines import engines
from clearprop.errors import OptionError
from clearprop.layers import Dense
from clearprop.network import Network
from clearprop.plots.style import BACKWARD, FORWARD, WIDTH, new_figure, styled, tidy
from clearprop.random import Purpose, stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CountingDense", "Effort", "EffortRow", "draw_effort", "effort", "effort_data", "measure_effort"]

EPSILON = 1e-6
INPUTS, OUTPUTS = 20, 10


@dataclass(frozen=True)
class CountingDense(Dense):
    """A Dense layer that counts its passes and their multiplications of a weight."""

    counts: Counter[str] = field(default_factory=Counter, compare=False)

    def forward(
        self, a_prev: Array, params: Any, buffers: Any, noise: Any = None, training: bool = False
    ) -> Any:
        """Count a forward pass, and do it."""
        self.counts["forward"] += 1
        self.counts["multiplications"] += len(a_prev) * params["W"].size
        return super().forward(a_prev, params, buffers, noise, training)

    def backward_from_delta(
        self,
        record: Any,
        delta: Array,
        params: Any,
        n: int,
        inputs: bool = True,
        out: Any = None,
        dC_dparams: Any = None,
    ) -> Any:
        """Count a backward pass, and do it."""
        self.counts["backward"] += 1
        self.counts["multiplications"] += (2 if inputs else 1) * len(delta) * params["W"].size  # BP4, and BP2
        return super().backward_from_delta(record, delta, params, n, inputs, out, dC_dparams)


@dataclass(frozen=True)
class Effort:
    """What one gradient took; estimates where differences were taken for a part of the parameters."""

    forward: float
    """Forward passes through the whole network."""
    backward: float
    multiplications: float
    seconds: float

    @property
    def passes(self) -> float:
        """Forward and backward passes together."""
        return self.forward + self.backward


@dataclass(frozen=True)
class EffortRow:
    """Both ways to the same gradient, for one size of network."""

    parameters: int
    backpropagation: Effort
    differences: Effort
    estimated: bool
    """Whether differences were taken for a part of the parameters, and the figures scaled up."""
    relative_difference_of_gradients: float
    """‖g - Δ‖ / ‖Δ‖ over the parameters that differences were taken for."""


def measure_effort(hidden: int, examples: int = 32, most: int = 2000) -> EffortRow:
    """Return what the gradient of [20, hidden, 10] takes by backpropagation and by finite differences.

    Parameters: `hidden`, number of hidden neurons; `examples` in the batch; `most`, parameters that
    differences are taken for at most: beyond, the figures are scaled up.

    >>> row = measure_effort(2, examples=4)
    >>> row.parameters, row.backpropagation.passes, row.differences.passes
    (72, 2.0, 144.0)
    """
    hidden = as_whole("hidden", hidden, at_least=1)
    counts: Counter[str] = Counter()
    layers = [
        CountingDense(hidden, "sigmoid", counts=counts),
        CountingDense(OUTPUTS, "sigmoid", counts=counts),
    ]
    net = Network(layers, "quadratic", n_in=INPUTS, engine="batch")
    X = stream(0, Purpose.NOISE, 2).normal((as_whole("examples", examples, at_least=1), INPUTS))
    y = stream(0, Purpose.NOISE, 3).uniform((examples, OUTPUTS))
    part = min(net.n_parameters, as_whole("most", most, at_least=1))
    gradient, fast = _counted(counts, lambda: _by_backpropagation(net, X, y), 1.0)
    scale = net.n_parameters / part
    slopes, slow = _counted(counts, lambda: _by_differences(net, X, y, part), scale)
    error = np.linalg.norm(gradient[:part] - slopes) / np.linalg.norm(slopes)
    return EffortRow(net.n_parameters, fast, slow, scale > 1, float(error))


def _by_backpropagation(net: Network, X: Array, y: Array) -> Array:
    """Return ∂C/∂theta by one forward and one backward pass."""
    return np.asarray(engines()["batch"].gradient(net.model, net.state, X, y).gradient)


def _cost(net: Network, X: Array, y: Array) -> float:
    """Return C by one forward pass."""
    return float(net.model.costs(engines()["batch"].output(net.model, net.state, X), y).mean())


def _by_differences(net: Network, X: Array, y: Array, how_many: int) -> Array:
    """Return the first entries of ∂C/∂theta by two forward passes for each."""
    slopes = np.empty(how_many)
    for i in range(how_many):
        value = net.theta[i]
        net.theta[i] = value + EPSILON
        above = _cost(net, X, y)
        net.theta[i] = value - EPSILON
        below = _cost(net, X, y)
        net.theta[i] = value
        slopes[i] = (above - below) / (2 * EPSILON)
    return slopes


def _counted(counts: Counter[str], run: Callable[[], Array], scale: float) -> tuple[Array, Effort]:
    """Return what `run` gave, and its passes through both layers, multiplications, seconds, times scale."""
    run()  # warm
    counts.clear()
    begun = time.perf_counter()
    gradient = run()
    seconds = time.perf_counter() - begun
    forward, backward = counts["forward"] / 2, counts["backward"] / 2
    found = (forward, backward, float(counts["multiplications"]), seconds)
    return gradient, Effort(*(scale * value for value in found))


def effort_data(
    hidden: Sequence[int] = (2, 8, 32, 128, 512), *, examples: int = 32, most: int = 500
) -> tuple[EffortRow, ...]:
    """Return what the gradient takes both ways, for each number of hidden neurons: see `measure_effort`."""
    hidden = as_items("hidden", hidden)
    if not hidden:
        raise OptionError("hidden must name at least one number of hidden neurons. Got none.")
    return tuple(measure_effort(size, examples, most) for size in hidden)


def effort(hidden: Sequence[int] = (2, 8, 32, 128, 512), *, examples: int = 32, most: int = 500) -> Figure:
    """Draw what a gradient takes by backpropagation and by finite differences, against the parameters.

    The parameters are those of `effort_data`, which returns the numbers drawn. Returns the figure.
    """
    return draw_effort(effort_data(hidden, examples=examples, most=most))


def draw_effort(data: Sequence[EffortRow]) -> Figure:
    """Draw what `effort_data` returned: passes, and seconds."""
    n = [row.parameters for row in data]
    ways = [("backpropagation", FORWARD, "o-"), ("differences", BACKWARD, "s--")]
    with styled():
        figure = new_figure(3.3, WIDTH)
        panels = figure.subplots(1, 2)
        for axes, what in zip(panels, ("passes", "seconds"), strict=True):
            for name, colour, style in ways:
                values = [getattr(getattr(row, name), what) for row in data]
                label = "finite differences" if name == "differences" else name
                axes.plot(n, values, style, color=colour, label=label, markersize=4.5)
            axes.set_xscale("log")
            axes.set_yscale("log")
        estimated = " (~)" if any(row.estimated for row in data) else ""
        tidy(panels[0], title="Passes for one gradient", x="parameters", y="passes through the network")
        tidy(panels[1], title=f"Time for one gradient{estimated}", x="parameters", y="seconds")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure
