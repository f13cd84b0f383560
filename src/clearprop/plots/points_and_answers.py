"""Scatter plots of data, and of what a network predicts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_numbers
from clearprop.errors import DataError, NotInitializedError, ShapeError
from clearprop.network import Network
from clearprop.plots.places import check_network, examples_of
from clearprop.plots.points import Groups, Plane, groups, legend_entries, plane, scatter_groups
from clearprop.plots.style import BLUE, GREY, INK, RED, WIDTH, check_axes, new_figure, styled, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Predictions",
    "Scatter",
    "axis_names",
    "draw_predictions",
    "draw_scatter",
    "predictions",
    "predictions_data",
    "scatter",
    "scatter_data",
]


@dataclass(frozen=True)
class Scatter:
    """Examples as points of a plane, grouped by their targets."""

    points: Array
    """(n, 2); (n, 1) for data of one feature."""
    groups: Groups
    plane: Plane


@dataclass(frozen=True)
class Predictions:
    """Examples as points of a plane with their true and their predicted targets."""

    points: Array
    true: Groups
    predicted: Groups
    plane: Plane
    wrong: Array
    """Which examples are predicted wrongly, (n,); all False for numbers."""
    score: float
    """The share that is right; the mean squared error for numbers."""


def scatter_data(X: Any, y: Any = None) -> Scatter:
    """Return examples as points of a plane: two features as they are, more by their principal axes.

    Parameters: `X`, (n, d); `y`, labels (n,), one-hot rows, or real numbers.

    >>> import clearprop as cp
    >>> data = scatter_data(*cp.datasets.xor())
    >>> data.points.shape, data.groups.labels
    ((4, 2), ('0', '1'))
    """
    rows = as_numbers("X", X)
    if rows.ndim != 2 or len(rows) == 0:
        raise ShapeError(f"X has shape {rows.shape}; a scatter plot needs (examples, features).")
    if not np.all(np.isfinite(rows)):
        raise DataError("X holds NaN or infinity. Remove or replace such rows.")
    found = plane(rows)
    return Scatter(found.project(rows), groups(y, len(rows)), found)


def predictions_data(net: Network, X: Any, y: Any) -> Predictions:
    """Return examples as points with their true and their predicted targets, and which of them are wrong.

    Errors: `NotInitializedError` for a network that was never fitted: it does not know what outputs mean.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.xor()
    >>> net = cp.Network([cp.Dense(4, "tanh"), cp.Dense(2, "softmax")], seed=1)
    >>> _ = net.fit(X, y, optimizer=cp.Adam(0.1), epochs=100, batch_size=4)
    >>> data = predictions_data(net, X, y)
    >>> data.score, data.wrong.tolist()
    (1.0, [False, False, False, False])
    """
    check_network(net)
    if net.targets is None:
        raise NotInitializedError(
            "this network was never fitted: it does not know what its outputs mean. Call fit first."
        )
    rows = examples_of(net, X)
    real = not net.targets.is_classification
    true = groups(y, len(rows), real, net.targets.classes)
    predicted = groups(net.predict(rows), len(rows), real, net.targets.classes)
    if true.numbers is not None and predicted.numbers is not None:
        wrong = np.zeros(len(rows), bool)
        score = float(np.mean((true.numbers - predicted.numbers) ** 2))
    else:
        wrong = true.member != predicted.member
        score = float(1.0 - wrong.mean())
    found = plane(rows)
    return Predictions(found.project(rows), true, predicted, found, wrong, score)


def scatter(X: Any, y: Any = None, *, axes: Any = None) -> Figure:
    """Draw examples as points, a colour and a marker for each class or a colour scale for numbers.

    The parameters are those of `scatter_data`; `axes`, to draw into. Data of one feature are drawn over it.
    Returns the figure.

    >>> import clearprop as cp
    >>> scatter(*cp.datasets.xor()).axes[0].get_ylabel()
    '$x_1$'
    """
    return draw_scatter(scatter_data(X, y), axes)


def draw_scatter(data: Scatter, axes: Any = None) -> Figure:
    """Draw what `scatter_data` returned, into `axes` or a figure of its own."""
    with styled():
        if axes is None:
            axes = new_figure(3.8, 5.4).subplots()
        check_axes(axes)
        x, y = axis_names(data.plane)
        if data.points.shape[1] == 1:
            y = _over_one_feature(axes, data.points[:, 0], data.groups, BLUE, "o")
        else:
            scatter_groups(axes, data.points, data.groups)
        tidy(axes, title="Data", x=x, y=y)
    return axes.figure  # type: ignore[no-any-return]


def axis_names(found: Plane, letter: str = "x") -> tuple[str, str]:
    """Return the labels of a plane's axes: coordinates, or principal axes with their share of variance."""
    if not found.principal:
        return f"${letter}_0$", f"${letter}_1$"
    return (
        f"principal axis 0 ({found.explained[0]:.0%} of variance)",
        f"principal axis 1 ({found.explained[1]:.0%})",
    )


def _over_one_feature(axes: Any, x: Array, found: Groups, colour: str, marker: str, label: str = "") -> str:
    values = found.member if found.numbers is None else found.numbers
    axes.plot(x, values, marker, color=colour, markersize=3.5, alpha=0.8, label=label)
    if found.numbers is None and found.labels:
        axes.set_yticks(range(len(found.labels)), found.labels)
    return "y"


def predictions(net: Network, X: Any, y: Any) -> Figure:
    """Draw the data beside what the network predicts for them; what is wrong is ringed.

    One feature: targets and predictions over it. Numbers of several features: predicted against true.
    The numbers: `predictions_data`. Returns the figure.

    >>> import clearprop as cp
    >>> X, y = cp.datasets.moons(60, seed=0)
    >>> net = cp.Network([cp.Dense(8, "tanh"), cp.Dense(2, "softmax")], seed=0)
    >>> _ = net.fit(X, y, epochs=2)
    >>> [axes.get_title(loc="left") for axes in predictions(net, X, y).axes][0]
    'Data'
    """
    return draw_predictions(predictions_data(net, X, y))


def draw_predictions(data: Predictions) -> Figure:
    """Draw what `predictions_data` returned."""
    with styled():
        if data.points.shape[1] == 1:
            return _line(data)
        if data.true.numbers is not None:
            return _predicted_against_true(data)
        figure = new_figure(3.5, WIDTH)
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        x, y = axis_names(data.plane)
        scatter_groups(left, data.points, data.true, legend=False, size=14)
        scatter_groups(right, data.points, data.predicted, legend=False, size=14)
        handles, labels = legend_entries(right)
        wrong = data.points[data.wrong]
        if len(wrong):
            ring: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.1}
            handles.append(right.scatter(wrong[:, 0], wrong[:, 1], s=55, label="wrong", **ring))
            labels.append("wrong")
        tidy(left, title="Data", x=x, y=y)
        tidy(right, title=f"Predicted: {data.score:.1%} right", x=x)
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(6, len(labels)), handletextpad=0.1
        )
    return figure


def _line(data: Predictions) -> Figure:
    figure = new_figure(3.4, 5.6)
    axes = figure.subplots()
    x = data.points[:, 0]
    order = np.argsort(x, kind="stable")
    _over_one_feature(axes, x, data.true, GREY, "o", "data")
    values = data.predicted.member if data.predicted.numbers is None else data.predicted.numbers
    axes.plot(x[order], values[order], color=RED, label="predicted")
    numbers = data.true.numbers is not None
    score = f"mean squared error {data.score:.3g}" if numbers else f"{data.score:.1%} right"
    tidy(axes, title=f"Data and prediction: {score}", x="$x_0$", y="y", legend=True)
    return figure


def _predicted_against_true(data: Predictions) -> Figure:
    assert data.true.numbers is not None
    assert data.predicted.numbers is not None
    figure = new_figure(4.2, 4.8)
    axes = figure.subplots()
    both = np.concatenate([data.true.numbers, data.predicted.numbers])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=GREY, linewidth=1.0, label="predicted = true")
    axes.plot(data.true.numbers, data.predicted.numbers, "o", color=BLUE, markersize=3.5, alpha=0.6)
    title = f"Mean squared error {data.score:.3g}"
    tidy(axes, title=title, x="true y", y="predicted y", legend=True)
    return figure
