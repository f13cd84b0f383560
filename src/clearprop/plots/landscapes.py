"""The cost around a network's parameters, along two random directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_number, as_whole
from clearprop.errors import DataError, DTypeError
from clearprop.model import Model
from clearprop.network import Network
from clearprop.plots.places import check_network, examples_of
from clearprop.plots.style import BLUE, INK, RED, WIDTH, new_figure, sequential, styled, tidy
from clearprop.random import Purpose, stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Landscape", "draw_landscape", "landscape", "landscape_data", "random_direction"]


_FARTHEST = 1e9
_LARGEST = 1e300  # matplotlib adds margins: what is larger has no place on its axes


@dataclass(frozen=True)
class Landscape:
    """The cost C(theta + alpha d_0 + beta d_1) over a grid."""

    alpha: Array
    """(points,), in units of the weights' own norms; 0 in the middle."""
    beta: Array
    """(points,)"""
    costs: Array
    """(points of beta, points of alpha)"""
    directions: Array
    """d_0 and d_1, (2, size of theta)."""
    cost: float
    """C at theta itself."""


def random_direction(model: Model, theta: Array, seed: int, index: int) -> Array:
    """Return a filter-normalised random direction, (size of theta,): a function of the seed and the index.

    Normal numbers, scaled so that each row of a matrix W (all weights of one neuron) has the norm of that row
    of theta, and every other array (biases, gamma, …) the norm of its own; where theta is 0, so is the
    direction. So a step of 1 is as long as the weights themselves, in each neuron.
    Source: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the loss landscape of neural nets
    (2018), section 4.

    >>> import clearprop as cp
    >>> net = cp.Network([2, 3, 1], seed=0)
    >>> d = random_direction(net.model, net.theta, seed=0, index=0)
    >>> bool(np.isclose(np.linalg.norm(d[:2]), np.linalg.norm(net.W[1][0])))
    True
    """
    if not isinstance(model, Model) or np.shape(theta) != (model.layout.size,):
        raise DTypeError("random_direction takes a model, such as net.model, and its flat theta.")
    seed, index = as_whole("seed", seed, at_least=0), as_whole("index", index, at_least=0)
    drawn = stream(seed, Purpose.NOISE, index).normal(theta.shape[0])
    direction = np.zeros_like(drawn)
    for entry in model.layout.entries:
        rows = entry.shape[0] if len(entry.shape) > 1 else 1
        own, here = drawn[entry.block].reshape(rows, -1), theta[entry.block].reshape(rows, -1)
        size = np.linalg.norm(own, axis=1, keepdims=True)
        wanted = np.linalg.norm(here, axis=1, keepdims=True)
        direction[entry.block] = (own * wanted / np.where(size > 0, size, 1.0)).reshape(-1)
    return direction


def landscape_data(
    net: Network, X: Any, y: Any, *, seed: int = 0, reach: float = 1.0, points: int = 31
) -> Landscape:
    """Return the cost on the plane through theta along two filter-normalised random directions.

    Parameters:
        X, y: the examples whose mean cost is taken, in inference mode, without penalty.
        seed: of the directions.
        reach: how far to go along each, in units of the weights' own norms.
        points: along each direction; an even number is made odd, so that theta itself is one.

    Errors: `DataError` where no cost is finite.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.xor()
    >>> net = cp.Network([2, 3, 1], seed=0)
    >>> data = landscape_data(net, X, y, points=5)
    >>> data.costs.shape, bool(np.isclose(data.costs[2, 2], net.evaluate(X, y)["cost"]))
    ((5, 5), True)
    """
    model = check_network(net).model
    rows = examples_of(net, X)
    reach = as_number("reach", reach, above=0, at_most=_FARTHEST)
    half = as_whole("points", points, at_least=3) // 2
    steps = reach * np.arange(-half, half + 1) / half
    theta = net.theta.copy()
    directions = np.stack([random_direction(model, theta, seed, i) for i in range(2)])
    moved = net.copy()
    costs = np.empty((len(steps), len(steps)))
    with np.errstate(all="ignore"):  # far away a cost may overflow: it is left white
        for i, beta in enumerate(steps):
            for j, alpha in enumerate(steps):
                moved.theta[:] = theta + alpha * directions[0] + beta * directions[1]
                costs[i, j] = moved.evaluate(rows, y)["cost"]
    if not np.isfinite(costs).any():
        raise DataError(
            f"no cost around theta is finite: at theta itself it is {costs[half, half]}. Look at net.theta, "
            "or initialize and train again with a smaller eta."
        )
    return Landscape(steps, steps.copy(), costs, directions, float(costs[half, half]))


def landscape(net: Network, X: Any, y: Any, *, seed: int = 0, reach: float = 1.0, points: int = 31) -> Figure:
    """Draw the cost on the plane through theta along two random directions, and along each of them.

    The parameters are those of `landscape_data`, which returns the numbers drawn. Returns the figure.

    >>> import clearprop as cp
    >>> figure = landscape(cp.Network([2, 3, 1], seed=0), *cp.datasets.xor(), points=5)
    >>> [axes.get_xlabel() for axes in figure.axes][:2]
    ['along $d_0$', 'step']
    """
    return draw_landscape(landscape_data(net, X, y, seed=seed, reach=reach, points=points))


def draw_landscape(data: Landscape) -> Figure:
    """Draw what `landscape_data` returned."""
    half = len(data.alpha) // 2
    with styled():
        figure = new_figure(3.2, WIDTH)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        costs = np.where(np.abs(data.costs) < _LARGEST, data.costs, np.nan)
        shown = np.ma.masked_invalid(costs)
        levels = _levels(costs)
        how: dict[str, Any] = {"levels": levels, "cmap": sequential()}
        drawn = left.contourf(data.alpha, data.beta, shown, **how)
        left.contour(data.alpha, data.beta, shown, levels=levels, colors="white", linewidths=0.4)
        left.plot([0], [0], "o", color="white", markeredgecolor=INK, markersize=6)
        bar = figure.colorbar(drawn, ax=left, format="%.3g")
        bar.ax.set_title("C", fontsize=9, loc="center", fontweight="normal")
        left.grid(False)
        tidy(left, title="Cost around theta", x="along $d_0$", y="along $d_1$")
        right.plot(data.alpha, costs[half], color=BLUE, label="along $d_0$")
        right.plot(data.beta, costs[:, half], "--", color=RED, label="along $d_1$")
        right.plot([0], [costs[half, half]], "o", color=INK, markersize=5)
        tidy(right, title=f"C = {data.cost:.3g} at theta", x="step", y="cost C")
        right.legend()
    return figure


def _levels(costs: Array) -> Array:
    """Return levels that are denser where the cost is low: there the shape is."""
    finite = costs[np.isfinite(costs)]
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        high = low + 1.0
    return np.asarray(low + (high - low) * np.linspace(0.0, 1.0, 13) ** 1.5)
