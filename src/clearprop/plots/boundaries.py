"""What a network of two inputs says all over the plane, with the examples on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_number, as_whole
from clearprop.errors import DataError, DTypeError, OptionError, ShapeError, UnsupportedError
from clearprop.layers import ActivationOwner
from clearprop.network import Network
from clearprop.plots.places import check_network, layer_list
from clearprop.plots.points import Groups, groups, scatter_groups
from clearprop.plots.style import COLOURS, INK, blend, check_axes, new_figure, sequential, styled, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Boundary", "boundary", "boundary_data", "draw_boundary"]


@dataclass(frozen=True)
class Boundary:
    """A network's answers over a grid of the plane, and the examples."""

    x0: Array
    """(points,), the grid along feature 0."""
    x1: Array
    """(points,), along feature 1."""
    shares: Array | None
    """The share of each class at each point of the grid, (points of x1, points of x0, classes)."""
    values: Array | None
    """The output at each point, (points of x1, points of x0), where the network gives numbers."""
    X: Array | None
    """The examples, (n, 2)."""
    groups: Groups | None
    """Which class each example is of, or its number."""

    @property
    def answer(self) -> Array:
        """The class with the largest share at each point of the grid."""
        assert self.shares is not None
        return np.asarray(self.shares.argmax(axis=2))


def boundary_data(
    net: Network,
    X: Any = None,
    y: Any = None,
    *,
    limits: Any = None,
    points: int = 160,
    output: int = 0,
) -> Boundary:
    """Return what a network of two inputs answers over a grid of the plane.

    Shares of classes are `predict_proba` where the outputs are probabilities, and 1 for the predicted class
    elsewhere; a network that gives numbers has the values of one output.

    Parameters:
        X, y: examples to show, (n, 2) and (n,).
        limits: (low of x0, high of x0, low of x1, high of x1); left out, around X, or -1 to 1.
        points: of the grid along each feature.
        output: which output, where the network gives numbers.

    Errors: `UnsupportedError` for a network that has not two inputs; `OptionError` for limits that are none,
    and for an output that is not there or not shown.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.xor()
    >>> net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], seed=1)
    >>> _ = net.fit(X, y, optimizer=cp.Adam(0.1), epochs=100, batch_size=4)
    >>> data = boundary_data(net, X, y, limits=(0, 1, 0, 1), points=2)
    >>> data.answer.tolist()
    [[0, 1], [1, 0]]
    """
    model = check_network(net).model
    if model.n_in != 2:
        raise UnsupportedError(
            f"a decision boundary is drawn in the plane of two inputs; this network has {model.n_in}. "
            f"Layers: {layer_list(model)}. For more inputs use representations(net, X, y, layer=0)."
        )
    rows = None if X is None else _rows(X)
    points = as_whole("points", points, at_least=2)
    low0, high0, low1, high1 = _limits(rows, limits)
    x0, x1 = np.linspace(low0, high0, points), np.linspace(low1, high1, points)
    plane = np.stack([part.reshape(-1) for part in np.meshgrid(x0, x1)], axis=1)
    shares = _shares(net, plane)
    if shares is not None and as_whole("output", output, at_least=0) > 0:
        raise OptionError(
            f"output chooses among outputs that are numbers; this network answers with classes, which are "
            f"shown together. Got {output}: leave it out."
        )
    values = None if shares is not None else _one_output(net, plane, output).reshape(points, points)
    if shares is not None:
        shares = shares.reshape(points, points, -1)
    found = None
    if rows is not None:
        classes = () if net.targets is None else net.targets.classes
        found = groups(y, len(rows), None if shares is not None else y is not None, classes)
    return Boundary(x0, x1, shares, values, rows, found)


def _rows(X: Any) -> Array:
    try:
        rows = np.asarray(X, dtype=float)
    except (TypeError, ValueError):
        raise DTypeError("X holds what is no number. Give two numbers for each example.") from None
    if rows.ndim != 2 or rows.shape[1] != 2 or len(rows) == 0:
        raise ShapeError(f"X has shape {rows.shape}; the plane has two features: (examples, 2).")
    if not np.all(np.isfinite(rows)):
        raise DataError("X holds NaN or infinity. Remove or replace such rows.")
    return rows


def _limits(X: Array | None, limits: Any) -> tuple[float, float, float, float]:
    if limits is not None:
        return _given_limits(limits)
    if X is None:
        return -1.0, 1.0, -1.0, 1.0
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _given_limits(limits: Any) -> tuple[float, float, float, float]:
    given = limits.tolist() if isinstance(limits, np.ndarray) else limits
    if not isinstance(given, tuple | list) or len(given) != 4:
        raise OptionError(f"limits must be (low x0, high x0, low x1, high x1). Got {limits!r}.")
    low0, high0, low1, high1 = (as_number("each of limits", value) for value in given)
    if not (low0 < high0 and low1 < high1):
        raise OptionError(f"limits must be (low x0, high x0, low x1, high x1). Got {limits!r}.")
    return low0, high0, low1, high1


def _shares(net: Network, plane: Array) -> Array | None:
    """Return the share of each class, (m, classes); None where the network gives numbers."""
    last = net.model.layers[-1]
    activation = last.activation if isinstance(last, ActivationOwner) else None
    targets = net.targets
    if targets is not None and targets.kind in ("real", "multilabel"):
        return None
    if activation is not None and (activation.distribution or activation.name == "sigmoid"):
        return np.asarray(net.predict_proba(plane))
    if targets is None:
        return None
    answer = net.predict(plane)
    labels = answer.argmax(axis=1) if answer.ndim == 2 else answer
    return np.asarray(labels[:, np.newaxis] == np.asarray(targets.classes)[np.newaxis], dtype=float)


def _one_output(net: Network, plane: Array, output: int) -> Array:
    output = as_whole("output", output, at_least=0)
    if output >= net.model.n_out:
        raise OptionError(f"output must be in 0 … {net.model.n_out - 1}. Got {output}.")
    return np.asarray(net.outputs(plane)[:, output])


def boundary(
    net: Network,
    X: Any = None,
    y: Any = None,
    *,
    axes: Any = None,
    limits: Any = None,
    points: int = 160,
    output: int = 0,
) -> Figure:
    """Draw the answers of a network of two inputs all over the plane, with the examples on it.

    The colour of the plane is the mean of the classes' colours, weighted by their shares; a line is where the
    answer changes. The parameters are those of `boundary_data`; `axes`, to draw into. Returns the figure.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.moons(100, seed=0)
    >>> net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], n_in=2, seed=0)
    >>> boundary(net, X, y).axes[0].get_xlabel()
    '$x_0$'
    """
    return draw_boundary(boundary_data(net, X, y, limits=limits, points=points, output=output), axes)


def draw_boundary(data: Boundary, axes: Any = None, title: str = "Decision boundary") -> Figure:
    """Draw what `boundary_data` returned, into `axes` or a figure of its own."""
    with styled():
        if axes is None:
            axes = new_figure(4.0, 5.6).subplots()
        check_axes(axes)
        _plane(axes, data)
        if data.X is not None and data.groups is not None:
            scatter_groups(axes, data.X, data.groups, bar=False)
        axes.grid(False)
        axes.set_xlim(data.x0[0], data.x0[-1])
        axes.set_ylim(data.x1[0], data.x1[-1])
        tidy(axes, title=title if data.values is None else "Output over the plane", x="$x_0$", y="$x_1$")
    return axes.figure  # type: ignore[no-any-return]


def _plane(axes: Any, data: Boundary) -> None:
    extent = (data.x0[0], data.x0[-1], data.x1[0], data.x1[-1])
    how: dict[str, Any] = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "bilinear"}
    if data.values is not None:
        numbers = None if data.groups is None else data.groups.numbers
        every = data.values if numbers is None else np.concatenate([data.values.ravel(), numbers])
        image = axes.imshow(data.values, cmap=sequential(), vmin=every.min(), vmax=every.max(), **how)
        axes.figure.colorbar(image, ax=axes, label="output")
        return
    assert data.shares is not None
    n_classes = data.shares.shape[2]
    tints = np.array([blend(COLOURS[k % len(COLOURS)], 0.42) for k in range(n_classes)])
    axes.imshow((data.shares @ tints).clip(0, 1), **how)
    for k in range(n_classes):
        ahead = data.shares[..., k] - np.delete(data.shares, k, axis=2).max(axis=2)
        if (ahead > 0).any() and (ahead <= 0).any():
            axes.contour(data.x0, data.x1, ahead, levels=[0.0], colors=INK, linewidths=1.0)
        if n_classes == 2:
            break
