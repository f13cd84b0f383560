"""Examples as points: labels in the order of their colours, and any number of features as two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.arrays import Array
from clearprop.checks import as_array
from clearprop.errors import DataError, ShapeError
from clearprop.plots.style import COLOURS, INK, MARKERS, literal, sequential

__all__ = ["Groups", "Plane", "groups", "legend_entries", "plane", "principal_axes", "scatter_groups"]

_MOST_CLASSES = 10
_MOST_NAMED = 12
_LONGEST_NAME = 24


@dataclass(frozen=True)
class Groups:
    """Which examples belong together: classes by colour and marker, or numbers by a colour scale."""

    labels: tuple[str, ...]
    """Names of the classes; () for numbers, or for no targets."""
    member: Array
    """Which class each example is of, (n,); zeros without classes."""
    numbers: Array | None
    """Real targets, (n,); None for classes."""


def groups(y: Any, n: int, real: bool | None = None, classes: Sequence[Any] = ()) -> Groups:
    """Return examples grouped by their targets.

    y: labels (n,); one-hot rows, taken as classes; real numbers (n,) or (n, 1), where more than 10 different
    ones are there or `real` says so; None. classes: all labels in the order of their colours, where known.
    Errors: `ShapeError` where y has another length than n; `DataError` for NaN and for an unknown label.

    >>> groups(["b", "a", "b"], 3).labels, groups(["b", "a", "b"], 3).member.tolist()
    (('a', 'b'), [1, 0, 1])
    """
    if y is None:
        return Groups((), np.zeros(n, int), None)
    given = as_array("y", y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 2 and given.shape[1] > 1:
        given = given.argmax(axis=1) if real is not True else given[:, 0]
    if given.shape != (n,):
        raise ShapeError(f"y has shape {np.shape(y)}; X has {n} examples. Give one target for each.")
    if given.dtype.kind == "f" and not np.all(np.isfinite(given)):
        raise DataError("y holds NaN or infinity. Remove or replace such rows.")
    if classes and not real:
        return _of_classes(given, classes)
    labels, member = np.unique(given, return_inverse=True)
    if real or (real is None and given.dtype.kind == "f" and len(labels) > _MOST_CLASSES):
        return Groups((), np.zeros(n, int), given.astype(float))
    return Groups(tuple(_word(label) for label in labels.tolist()), member.reshape(-1), None)


def _of_classes(given: Array, classes: Sequence[Any]) -> Groups:
    places = {label: k for k, label in enumerate(classes)}
    labels = given.tolist()
    unknown = [label for label in labels if label not in places]
    if unknown:
        raise DataError(
            f"y holds the label {unknown[0]!r}, which the network does not know. "
            f"It knows: {', '.join(map(repr, classes))}."
        )
    member = np.array([places[label] for label in labels], dtype=int)
    return Groups(tuple(_word(label) for label in classes), member, None)


def _word(label: Any) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


@dataclass(frozen=True)
class Plane:
    """Two axes to look at points of any number of dimensions: v -> (v - mean) @ axes.T."""

    mean: Array
    """(d,)"""
    axes: Array
    """Rows are directions, (2, d); one row where d is 1."""
    explained: Array
    """Share of the variance along each axis."""
    principal: bool
    """Whether the axes are principal axes (d > 2); else they are the coordinates themselves."""

    def project(self, points: Array) -> Array:
        """Return the points (n, d) on the plane: (n, 2), or (n, 1) where d is 1."""
        return np.asarray((points - self.mean) @ self.axes.T)


LARGEST = 1e150
"""Squares of larger numbers overflow."""


def plane(points: Array) -> Plane:
    """Return the plane on which points (n, d) are best seen: as they are up to d = 2, else by PCA.

    >>> plane(np.array([[0.0, 1.0], [2.0, 3.0]])).axes.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if np.max(np.abs(points), initial=0.0) > LARGEST:
        raise DataError(
            f"X holds numbers too large to draw, beyond {LARGEST:g}. Scale them, or leave them out."
        )
    d = points.shape[1]
    if d > 2:
        return principal_axes(points)
    variance = points.var(axis=0)
    total = float(variance.sum())
    return Plane(np.zeros(d), np.eye(d), variance / total if total > 0 else variance, False)


def principal_axes(points: Array) -> Plane:
    """Return the first two principal axes of points (n, d), from the SVD of the centred points.

    The sign of each axis is such that its largest entry is positive, so that the same points give the same
    picture everywhere.

    >>> axes = principal_axes(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 2.0, 0.0]]))
    >>> axes.axes[0].round(4).tolist(), axes.explained.round(4).tolist()
    ([0.7071, 0.7071, 0.0], [1.0, 0.0])
    """
    points = np.asarray(points, float)
    mean = points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(points - mean, full_matrices=False)
    found = np.zeros((2, points.shape[1]))
    found[: min(2, len(directions))] = directions[:2]
    largest = np.abs(found).argmax(axis=1)
    found *= np.where(found[[0, 1], largest] < 0, -1.0, 1.0)[:, np.newaxis]
    squares = np.zeros(2)
    squares[: min(2, len(sizes))] = sizes[:2] ** 2
    total = float((sizes**2).sum())
    return Plane(mean, found, squares / total if total > 0 else squares, True)


def scatter_groups(
    axes: Any, points: Array, found: Groups, *, size: float = 18.0, legend: bool = True, bar: bool = True
) -> None:
    """Draw points (n, 2) into axes: a colour and a marker for each class, or a colour scale for numbers."""
    if found.numbers is not None:
        drawn = axes.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            c=found.numbers,
            cmap=sequential(),
            edgecolors="white",
            linewidths=0.3,
        )
        if bar:
            axes.figure.colorbar(drawn, ax=axes, label="y")
        return
    for k, label in enumerate(found.labels or ("",)):
        own = points[found.member == k]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=size,
            color=COLOURS[k % len(COLOURS)] if found.labels else INK,
            marker=MARKERS[k % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            label=literal(_short(label)),
        )
    if found.labels and legend:
        axes.legend(*legend_entries(axes), loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)


def legend_entries(axes: Any) -> tuple[list[Any], list[str]]:
    """Return the handles and labels of a legend of axes; of many, the first and how many more there are."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) <= _MOST_NAMED:
        return handles, labels
    shown = _MOST_NAMED - 1
    blank = axes.plot([], [], linestyle="none")  # a legend too large for its figure leaves no room to draw
    return [*handles[:shown], *blank], [*labels[:shown], f"… {len(labels) - shown} more"]


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_NAME else f"{label[: _LONGEST_NAME - 1]}…"
