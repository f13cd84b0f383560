"""Every activation with its derivative."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.activations import ActivationFunction, activations
from clearprop.arrays import Array
from clearprop.checks import as_number, as_whole
from clearprop.plots.style import (
    BACKWARD,
    COLOURS,
    FORWARD,
    WIDTH,
    check_axes,
    literal,
    new_figure,
    styled,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ActivationCurves", "activation", "activation_data", "all_activations", "draw_activation"]


@dataclass(frozen=True)
class ActivationCurves:
    """An activation and its derivative over a range of z, as numbers."""

    name: str
    formula: str
    derivative: str
    z: Array
    """(points,)"""
    a: Array
    """f(z), (curves, points): one curve, or one for each neuron where the neurons differ."""
    slope: Array
    """The derivative of each curve with respect to the z that is varied, (curves, points)."""
    labels: tuple[str, ...]
    """What each curve is; ("",) where there is one."""
    kinks: tuple[float, ...]
    """Where the derivative jumps."""


def activation_data(
    name: str | ActivationFunction, *, reach: float = 5.0, points: int = 401
) -> ActivationCurves:
    """Return an activation a = f(z) and its derivative f'(z) for z in [-reach, reach].

    An elementwise activation has one curve. One of a whole layer, such as softmax, is shown for three
    neurons: a curve for each a_j as z_0 varies with z_1 = 0 and z_2 = 1; their slopes are ∂a_j/∂z_0, from
    the activation's own `backward`. `PerNeuron` has one curve for each choice.

    Parameters: `name`, of the registry, or an activation of your own; `reach` > 0, in units of z; `points`.
    Errors: `UnknownNameError` with a suggestion; `OptionError`.

    >>> curves = activation_data("sigmoid", reach=2.0, points=3)
    >>> curves.z.tolist(), curves.a.round(3).tolist(), curves.slope.round(3).tolist()
    ([-2.0, 0.0, 2.0], [[0.119, 0.5, 0.881]], [[0.105, 0.25, 0.105]])
    """
    function = activations.make(name)
    reach = as_number("reach", reach, above=0)
    z = np.linspace(-reach, reach, as_whole("points", points, at_least=3))
    if hasattr(function, "choices"):
        parts = [activation_data(choice, reach=reach, points=points) for choice in function.choices]
        a, slope = (np.concatenate([getattr(p, what) for p in parts]) for what in ("a", "slope"))
        labels = tuple(p.name for p in parts)
    else:
        n, labels = (1, ("",)) if function.elementwise else (3, ("0", "1", "2"))
        a, slope = _curves(function, z, n)
    return ActivationCurves(
        function.name, function.formula, function.derivative, z, a, slope, labels, function.kinks
    )


def _curves(function: ActivationFunction, z: Array, n: int) -> tuple[Array, Array]:
    """Return each a_j and ∂a_j/∂z_0, (n, points), as z_0 varies and the others stay at 0, 1, …."""
    rows = np.tile(np.arange(-1.0, n - 1.0), (len(z), 1))
    rows[:, 0] = z
    own = {k: np.full(shape, value) for k, (shape, value) in function.parameters(n).items()}
    a = function.forward(rows, own)
    pulls = np.eye(n)[:, np.newaxis] * np.ones((n, len(z), n))  # dC_da = e_j, so dC_dz_0 is ∂a_j/∂z_0
    slopes = [function.backward(rows, a, pull, own)[0][:, 0] for pull in pulls]
    return np.asarray(a.T), np.array(slopes)


def activation(name: str | ActivationFunction, *, axes: Any = None, reach: float = 5.0) -> Figure:
    """Draw an activation a = f(z) and its derivative f'(z).

    Parameters: `name`, of the registry, or an activation of your own; `axes`, to draw into; `reach`: z goes
    from -reach to reach. The numbers: `activation_data`. Returns the figure.

    >>> figure = activation("tanh")
    >>> [line.get_label() for line in figure.axes[0].get_lines()]
    ['a = f(z)', "f'(z)"]
    """
    return draw_activation(activation_data(name, reach=reach), axes)


def draw_activation(data: ActivationCurves, axes: Any = None) -> Figure:
    """Draw what `activation_data` returned, into `axes` or a figure of its own."""
    with styled():
        if axes is None:
            axes = new_figure(3.6, 5.6).subplots()
        check_axes(axes)
        _curves_into(axes, data)
        layer = _of_a_layer(data)
        tidy(axes, title=data.name, x="$z_0$" if layer else "z", y=_y_label(data))
        formula = "three neurons, $z_1 = 0$, $z_2 = 1$" if layer else literal(data.formula)
        axes.set_title(formula, loc="right", fontsize=9, fontweight="normal")
        axes.legend(loc="best", fontsize=8 if len(data.labels) > 1 else 9)
    return axes.figure  # type: ignore[no-any-return]


def _of_a_layer(data: ActivationCurves) -> bool:
    """Return whether the curves are those of three neurons that depend on one another."""
    return data.labels == ("0", "1", "2")


def _y_label(data: ActivationCurves) -> str:
    return "a, f'(z)" if len(data.labels) == 1 else "a and its slope"


def _curves_into(axes: Any, data: ActivationCurves, width: float = 1.8) -> None:
    several = len(data.labels) > 1
    for i, label in enumerate(data.labels):
        colour = COLOURS[i % len(COLOURS)] if several else FORWARD
        names = _names(data, label) if several else ("a = f(z)", "f'(z)")
        axes.plot(data.z, data.a[i], color=colour, linewidth=width, label=names[0])
        slope = _broken(data.z, data.slope[i], data.kinks)
        colour = colour if several else BACKWARD
        axes.plot(data.z, slope, color=colour, linewidth=width, linestyle="--", label=names[1])
    both = np.concatenate([data.a, data.slope]).clip(-6.0, 6.0)  # exp leaves the picture
    low, high = float(both.min()), float(both.max())
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _names(data: ActivationCurves, label: str) -> tuple[str, str]:
    if _of_a_layer(data):
        return f"$a_{label}$", rf"$\partial a_{label}/\partial z_0$"
    return f"{label}", f"{label}'"


def _broken(z: Array, slope: Array, kinks: tuple[float, ...]) -> Array:
    """Return the slope with a gap where it jumps, so that no line is drawn where there is no value."""
    shown = slope.copy()
    step = z[1] - z[0]
    for kink in kinks:
        if math.isfinite(kink):
            shown[np.abs(z - kink) <= 0.5 * step * (1 + 1e-9)] = np.nan
    return shown


def all_activations(*, columns: int = 4, reach: float = 5.0) -> Figure:
    """Draw every activation of the registry with its derivative, side by side.

    Parameters: `columns` of small pictures; `reach`: z goes from -reach to reach. Returns the figure.

    >>> len(all_activations().axes) >= len(activations)
    True
    """
    columns = as_whole("columns", columns, at_least=1)
    names = list(activations)
    rows = -(-len(names) // columns)
    with styled():
        figure = new_figure(1.65 * rows + 0.4, WIDTH + 0.2)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            _curves_into(axes, activation_data(name, reach=reach), 1.5)
            axes.set_title(name, fontsize=9)
            axes.tick_params(labelsize=8)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.suptitle("a = f(z), solid, and f'(z), dashed, against z", x=0.01, ha="left", fontsize=11)
    return figure
